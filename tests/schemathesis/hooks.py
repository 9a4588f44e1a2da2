"""What a document cannot say about requests."""

import schemathesis


@schemathesis.hook
def filter_query(context, query):
    """`before` and `after` exclude each other."""
    return not (query and "before" in query and "after" in query)
