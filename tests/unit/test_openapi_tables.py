"""Tables of the reference: filled in between their marks, from the document."""

from __future__ import annotations

import pytest

from rangeland.openapi.document import openapi_document
from rangeland.openapi.fields import type_text
from rangeland.openapi.tables import filled

DOCUMENT = openapi_document()
PAGE = """# Sessions

Prose stays.

<!-- parameters: list_sessions -->
<!-- end -->

<!-- fields: Tier -->
| an old | table |
<!-- end -->

More prose.
"""


def test_tables_are_filled_in_and_prose_stays() -> None:
    page = filled(PAGE, DOCUMENT)
    assert page.startswith("# Sessions\n\nProse stays.\n\n<!-- parameters: list_sessions -->\n\n| parameter | in |")
    assert page.endswith("\n\n<!-- end -->\n\nMore prose.\n")
    assert "\n| `limit` | query | integer | How many" in page
    assert "\n| `key` | text | always |" in page
    assert "old" not in page


def test_filling_in_again_changes_nothing() -> None:
    page = filled(PAGE, DOCUMENT)
    assert filled(page, DOCUMENT) == page


def test_a_page_without_marks_stays_as_it_is() -> None:
    assert filled("# A page\n\n| a | table |\n|---|---|\n", DOCUMENT) == "# A page\n\n| a | table |\n|---|---|\n"


def test_a_row_says_when_a_field_is_there_and_whether_it_is_added() -> None:
    rows = filled("<!-- fields: Session -->\n<!-- end -->\n", DOCUMENT).splitlines()
    row_by_name = {row.split("`")[1]: [cell.strip() for cell in row.split("|")[1:4]] for row in rows if "`" in row}
    assert row_by_name["start"] == ["`start`", "time", "always"]
    assert row_by_name["username"] == ["`username`", "text", "unless empty"]
    assert row_by_name["node_id"] == ["`node_id`", "integer", "unless 0"]
    assert row_by_name["active_queries"] == ["`active_queries`", "list of ActiveQuery", "always"]
    assert row_by_name["blocking_pids"] == ["`blocking_pids` (added)", "list of integer", "unless empty"]
    assert row_by_name["id"] == ["`id`", "base64", "unless empty"]


@pytest.mark.parametrize(
    ("page", "complaint"),
    [
        ("<!-- fields: NoSuchType -->\n<!-- end -->\n", "about NoSuchType, and there is no such type"),
        ("<!-- parameters: no_such -->\n<!-- end -->\n", "about no_such, and there is no such operation"),
        ("<!-- fields: Tier -->\n", "its <!-- end --> is missing"),
        ("<!-- fields: Tier -->\n\n<!-- fields: User -->\n<!-- end -->\n", "its <!-- end --> is missing"),
        ("<!-- fields: Tier-->\n<!-- end -->\n", "a mark of a table is misspelt"),
    ],
)
def test_a_mark_that_leads_nowhere_is_refused(page: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        filled(page, DOCUMENT)


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "string", "format": "uuid"}, "UUID"),
        (
            {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/RangeDetail"}},
            "object of RangeDetail",
        ),
        ({"type": "object"}, "{}"),
        ({"anyOf": [{"type": "integer"}, {"type": "string", "const": "local"}]}, "integer or “local”"),
        ({"type": "boolean"}, "flag"),
        ({"type": "number"}, "number"),
    ],
)
def test_types_are_told_in_few_words(schema: dict[str, object], text: str) -> None:
    assert type_text(schema) == text
