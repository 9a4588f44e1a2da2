"""What the document does not say about requests and answers."""

import schemathesis

# Its fields are the client's, so others than the named ones may come.
REQUEST_BODIES = {"ChatRoomCreation", "ChatRoomChange", "ChatMemberChange", "ChatReading", "ChatNewText", "ChatNewJson", "ChatEditedText", "ChatEditedJson"}


def resolved(schema, components):
    """The schema with what it refers to in its place."""
    if isinstance(schema, list):
        return [resolved(item, components) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return resolved(components[schema["$ref"].rpartition("/")[2]], components)
    return {key: resolved(value, components) for key, value in schema.items()}


@schemathesis.hook
def before_load_schema(context, schema):
    components = schema["components"]["schemas"]
    # Clients are told to ignore fields they do not know, so that answers may grow. This server has none of those.
    for name, component in components.items():
        if "properties" in component and name not in REQUEST_BODIES:
            component["additionalProperties"] = False
    # Schemathesis 4.32 does not follow a reference to see whether a dictionary's values fit.
    for item in schema["paths"].values():
        for operation in item.values():
            for parameter in operation.get("parameters", []):
                parameter["schema"] = resolved(parameter["schema"], components)
    components["ChatReading"] = resolved(components["ChatReading"], components)


@schemathesis.hook
def before_call(context, case, **kwargs):
    """`before` and `after` exclude each other, which makes two parameters of a sound request one too many."""
    mode = case.meta.generation.mode if case.meta else None
    if mode is not None and mode.is_positive and {"before", "after"} <= set(case.query or ()):
        del case.query["after"]
