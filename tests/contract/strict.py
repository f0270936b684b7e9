"""An answer against its schema, more strictly than clients should be: a field that is unknown fails, too."""

from __future__ import annotations

from typing import Any

import jsonschema

from rangeland.openapi.document import Json


def departures_from(document: Json, type_name: str, answer: Any) -> list[str]:
    """Where the answer isn't of that type, each as `place: what is wrong`; [] when it keeps its schema."""
    schemas = {name: closed(schema) for name, schema in document["components"]["schemas"].items()}
    validator = jsonschema.Draft202012Validator(
        {"$ref": f"#/components/schemas/{type_name}", "components": {"schemas": schemas}},
        format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
    )
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(answer)]


def closed(schema: Json) -> Json:
    """The schema of a type of ours, without room for more fields."""
    return {**schema, "additionalProperties": False} if "properties" in schema else schema
