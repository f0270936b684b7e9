"""What a table's name may mean, and how the statement that makes it is put together; without a server."""

from __future__ import annotations

import pytest

from rangeland.collect.table_rows import ColumnRow, TableRow, create_statement, parse_table_name

TABLE = TableRow(1, b"public", b"t", b"public.t", "table", b"joe", False, True, False, None, None, None)
COLUMN = ColumnRow(b"a", b"a", b"integer", True, None, None, "", "", None)


@pytest.mark.parametrize(
    ("name", "pairs"),
    [
        ("t", [("public", "t")]),
        ("s.t", [("s", "t"), ("public", "s.t")]),
        ("a.b.c", [("a", "b.c"), ("a.b", "c"), ("public", "a.b.c")]),
        (".t", [("public", ".t")]),
        ("t.", [("public", "t.")]),
        ("x" * 63, [("public", "x" * 63)]),
        ("x" * 64, []),
        ("x" * 63 + "." + "y" * 63, [("x" * 63, "y" * 63)]),
        ("x" * 63 + "." + "y" * 64, []),
        ("." * 60_000, []),
    ],
)
def test_a_name_with_dots_may_mean_several_tables(name: str, pairs: list[tuple[str, str]]) -> None:
    assert list(zip(*parse_table_name(name), strict=True)) == pairs


def test_the_statement_has_what_the_catalogue_has() -> None:
    table = TABLE._replace(is_unlogged=True, partition_key=b"LIST (a)", options=[b"fillfactor=70"])
    column = COLUMN._replace(is_nullable=False, identity="ALWAYS", quoted_collation=b'pg_catalog."C"')
    assert create_statement(table, [column, COLUMN], [], []) == (
        "CREATE UNLOGGED TABLE public.t (\n"
        '    a integer COLLATE pg_catalog."C" GENERATED ALWAYS AS IDENTITY NOT NULL,\n'
        "    a integer\n) PARTITION BY LIST (a) WITH (fillfactor='70');"
    )


def test_there_is_no_statement_where_it_would_not_make_the_table() -> None:
    assert create_statement(TABLE._replace(is_plain=False), [COLUMN], [], []) == ""
    assert create_statement(TABLE._replace(is_locked=True), [COLUMN], [], []) == ""
