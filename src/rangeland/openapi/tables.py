"""Tables of the reference's pages, filled in between their marks:

<!-- fields: Session -->             <!-- parameters: list_sessions -->
<!-- end -->                         <!-- end -->
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from rangeland.openapi.document import Json
from rangeland.openapi.fields import fields_of, type_text

_MARK = re.compile(r"^<!-- (fields|parameters): (\w+) -->\n(?:.*?^)?<!-- end -->$", re.MULTILINE | re.DOTALL)


def filled(page: str, document: Json) -> str:
    """The page with every marked table as the document has it now.

    Raises: ValueError for a type or an operation that doesn't exist, or a mark without its end.
    """
    if len(_MARK.findall(page)) != len(re.findall(r"^<!-- *(?:fields|parameters)\b", page, re.MULTILINE)):
        raise ValueError("a mark of a table is misspelt, or its <!-- end --> is missing")
    return _MARK.sub(lambda mark: _between(mark[1], mark[2], document), page)


def _between(kind: str, name: str, document: Json) -> str:
    rows = _field_rows(name, document) if kind == "fields" else _parameter_rows(name, document)
    return "\n".join([f"<!-- {kind}: {name} -->", "", *rows, "", "<!-- end -->"])


def _field_rows(name: str, document: Json) -> Iterable[str]:
    schema = document["components"]["schemas"].get(name)
    if schema is None:
        raise ValueError(f"a table is about {name}, and there is no such type")
    yield from _row(["field", "type", "there", "meaning"], is_head=True)
    for field in fields_of(schema):
        mark = " (added)" if field.is_addition else ""
        yield from _row([f"`{field.name}`{mark}", type_text(field.schema), field.presence, field.text])


def _parameter_rows(name: str, document: Json) -> Iterable[str]:
    operations = [each for methods in document["paths"].values() for each in methods.values()]
    found = [each for each in operations if each["operationId"] == name]
    if not found:
        raise ValueError(f"a table is about {name}, and there is no such operation")
    yield from _row(["parameter", "in", "type", "meaning"], is_head=True)
    for each in found[0]["parameters"]:
        yield from _row([f"`{each['name']}`", each["in"], type_text(each["schema"]), each["description"]])


def _row(cells: list[str], *, is_head: bool = False) -> Iterable[str]:
    yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    if is_head:
        yield "|" + "---|" * len(cells)
