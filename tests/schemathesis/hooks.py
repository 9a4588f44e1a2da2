"""What the document cannot say about requests."""

import schemathesis


@schemathesis.hook
def before_call(context, case, **kwargs):
    """`before` and `after` exclude each other, which makes two parameters of a sound request one too many."""
    mode = case.meta.generation.mode if case.meta else None
    if mode is not None and mode.is_positive and {"before", "after"} <= set(case.query or ()):
        del case.query["after"]
