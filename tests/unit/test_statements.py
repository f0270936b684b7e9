"""The constant-free form has no constant in it, whatever the statement is and wherever it was cut off."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rangeland.collect.masking import mask_passwords
from rangeland.collect.statements import CACHED, Form, form_of, statement_from_bytes

SECRET = "zq9zq"  # in every generated constant, and in nothing else
EVEN = settings(max_examples=300, deadline=None, database=None)

_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\\"), min_size=0, max_size=12).map(
    lambda text: text[:6] + SECRET + text[6:]
)
_QUOTED = _TEXT.map(lambda text: "'" + text.replace("'", "''") + "'")


def _fenced(text: str) -> str:
    tag = next(tag for tag in ("", "a", "b_1") if f"${tag}$" not in f"{text}$")
    return f"${tag}${text}${tag}$"


LITERALS = st.one_of(
    _QUOTED,
    _QUOTED.map(lambda text: "E" + text[:-1] + "\\''"),
    _QUOTED.map(lambda text: f"E'\\\\{text[1:]}"),
    _QUOTED.map(lambda text: f"U&{text}"),
    _QUOTED.map(lambda text: f"N{text}"),
    _QUOTED.map(lambda text: f"{text}\n  {text}"),
    _QUOTED.map(lambda text: f"date {text}"),
    _QUOTED.map(lambda text: f"({text})::text"),
    _TEXT.map(_fenced),
)
COMMENTS = _TEXT.map(lambda text: f" /* {text.replace('*', '').replace('/', '')} */ ") | _TEXT.map(
    lambda text: f" -- {' '.join(text.splitlines())}\n"
)
TEMPLATES = [
    "SELECT {0} FROM t WHERE a = {1} AND b IN ({2}, {0})",
    "INSERT INTO t (a, b) VALUES ({0}, {1}), ({2}, DEFAULT)",
    "UPDATE t SET a={0}||{2} WHERE b > {1}",
    'DELETE FROM "odd t" WHERE a={0}OR b<>{1}',
    "SET app.name = {0}; SELECT {1}",
    "DO {0}",
    "ALTER ROLE joe PASSWORD {0}; SELECT {1}, {2}",
    "WITH x AS (SELECT {0} AS a) SELECT x.a, {1}::text FROM x -- done",
    "COPY t FROM PROGRAM {0} WITH (FORMAT csv, DELIMITER {1})",
    "COMMENT ON TABLE t IS {0}",
    "PREPARE p AS SELECT {0}, $1",
    "CREATE FUNCTION f() RETURNS text SET app.a TO {1} AS {0} LANGUAGE sql",
]
STATEMENTS = st.builds(
    lambda template, literals, comments: (
        re.sub(r" ", lambda _: comments.pop() if comments else " ", template.format(*literals))
        if comments and not any(" " in literal for literal in literals)
        else template.format(*literals)
    ),
    st.sampled_from(TEMPLATES),
    st.lists(LITERALS, min_size=3, max_size=3),
    st.lists(COMMENTS, max_size=2),
)


@EVEN
@given(STATEMENTS)
def test_no_constant_of_a_statement_is_in_its_form(statement: str) -> None:
    statement = statement.encode(errors="ignore").decode()
    form = form_of(statement)
    assert SECRET not in form.no_constants
    assert SECRET not in form.summary
    assert form.no_constants == "" or "_" in form.no_constants or form.no_constants.endswith("…")


@EVEN
@given(STATEMENTS, st.integers(min_value=0, max_value=200))
def test_no_constant_is_in_the_form_of_a_statement_that_was_cut_off(statement: str, length: int) -> None:
    cut = statement.encode()[:length]
    form = statement_from_bytes(cut).form
    for beginning in (SECRET, SECRET[:3]):
        assert beginning not in form.no_constants
        assert beginning not in form.summary


@EVEN
@given(st.integers(min_value=10**6) | st.floats(min_value=1e6, allow_nan=False, allow_infinity=False), STATEMENTS)
def test_no_number_is_in_the_form(number: float, statement: str) -> None:
    form = form_of(f"SELECT {number}, -{number}, x[{number}] FROM t LIMIT {number}").no_constants
    assert form == "SELECT _, -_, x[_] FROM t LIMIT _"


@EVEN
@given(st.text(max_size=80), st.booleans())
def test_any_text_has_a_form_or_none_and_the_form_of_a_form_is_itself(text: str, is_cut: bool) -> None:
    text = text.encode(errors="ignore").decode()
    form = form_of(text, is_cut=is_cut).no_constants
    assert len(form.encode()) <= 1003
    assert form.endswith("…") or form_of(form).no_constants == form


@EVEN
@given(STATEMENTS)
def test_a_form_is_made_of_the_masked_text(statement: str) -> None:
    found = statement_from_bytes(statement.encode())
    assert len(found.sql.encode()) <= 1003
    if not found.sql.endswith("…"):
        assert found.sql == mask_passwords(statement)
        assert found.form == form_of(found.sql)


@pytest.mark.parametrize(
    ("statement", "form"),
    [
        ("SELECT 1, 1.5e3, .5, 0x1F, 1_000, B'01', X'ff', $1", "SELECT _, _, _, _, _, _, _, _"),
        ("SELECT true, false, NULL, a IS NULL", "SELECT _, _, NULL, a IS NULL"),
        ("SELECT\n\ta ,b\r\n FROM  t;", "SELECT a ,b FROM t;"),
        ("SELECT 1 /* /* 2 */ 3 */ + 4 -- 5", "SELECT _ + _"),
        ('SELECT "a  1" FROM "T"', 'SELECT "a  1" FROM "T"'),
        ("SET app.name = joe", "SET app.name = _"),
        ("SET search_path TO a, b; SELECT c = d", "SET search_path TO _, _; SELECT c = d"),
        ("ALTER ROLE joe SET app.name TO ann", "ALTER ROLE joe SET app.name TO _"),
        ("SELECT 'Füße', 'x' FROM größe", "SELECT _, _ FROM größe"),
        ("ALTER ROLE joe PASSWORD 'x'", "ALTER ROLE joe PASSWORD _"),
        ("SELECT 'cut", "SELECT…"),
        ("SELECT 'whole', 'Füße", "SELECT _,…"),
        ("SELECT 12ab", "SELECT…"),
        (r"SELECT E'\u00', 'x'", "SELECT…"),
        (r"SELECT 'perhaps \' or not'", ""),
        (r"SELECT E'surely \' not'", "SELECT _"),
        ("SELECT 1\0, 2", "SELECT _…"),
        ("-- only a comment", ""),
        (" ", ""),
        ("", ""),
    ],
)
def test_the_form_of(statement: str, form: str) -> None:
    assert form_of(statement).no_constants == form


@pytest.mark.parametrize(
    ("statement", "summary"),
    [
        ("select a from t", "SELECT FROM t"),
        ("SELECT 1", "SELECT"),
        ("SELECT extract(epoch FROM a), trim(both FROM b) FROM s.t", "SELECT FROM s.t"),
        ("SELECT * FROM ONLY a JOIN LATERAL b ON true WHERE a IS DISTINCT FROM c FOR UPDATE", "SELECT FROM a, b"),
        ("SELECT * FROM (SELECT 1 FROM a) x, f(1) JOIN a ON true", "SELECT FROM a"),
        ("SELECT 1 FROM a, b JOIN c JOIN d JOIN e JOIN f", "SELECT FROM a, c, d, e, …"),
        ("INSERT INTO t SELECT 1 FROM u ON CONFLICT DO UPDATE SET a = 2", "INSERT INTO t, u"),
        ("UPDATE ONLY t SET a = 1", "UPDATE t"),
        ("DELETE FROM t USING u", "DELETE FROM t"),
        ("MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE", "MERGE INTO t"),
        ("WITH x AS (SELECT 1 FROM a) SELECT 1 FROM x", "WITH a, x"),
        ("CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)", "CREATE UNIQUE INDEX CONCURRENTLY i"),
        ("ALTER ROLE joe SET app.a = secret", "ALTER ROLE joe"),
        ("BEGIN; SELECT 1 FROM t", "BEGIN"),
        ("DO $$ x $$", "DO"),
        ("; SELECT 1", ""),
        ("SELECT * FROM 'x'", "SELECT"),
        ("SELECT * FROM", "SELECT"),
    ],
)
def test_the_summary_of(statement: str, summary: str) -> None:
    assert form_of(statement).summary == summary


@pytest.mark.parametrize(
    ("statement", "is_one"),
    [
        ("SELECT 1", True),
        (" SELECT 1 ;; ", True),
        ("SELECT ';'", True),
        ("SELECT 1; SELECT 2", False),
        ("begin", False),
        ("START TRANSACTION", False),
        ("COMMIT AND CHAIN", False),
        ("SELECT 'cut", False),
        ("", False),
    ],
)
def test_one_statement_is_told_from_several(statement: str, is_one: bool) -> None:
    assert form_of(statement).is_one is is_one


def test_a_statement_that_goes_on_is_not_known_to_be_one() -> None:
    assert not form_of("SELECT 1", is_cut=True).is_one
    assert not statement_from_bytes(b"SELECT " + b"a, " * 400).form.is_one


def test_a_text_masked_to_its_end_is_not_whole() -> None:
    assert statement_from_bytes(b"SELECT 'password'").form == Form("SELECT…", "SELECT", False)


def test_the_cache_is_bounded_and_holds_no_password() -> None:
    form_of.cache_clear()
    for number in range(CACHED + 50):
        statement_from_bytes(f"ALTER ROLE joe PASSWORD 'x{number}'; SELECT {number}".encode())
    assert form_of.cache_info().currsize == CACHED
    form_of.cache_clear()
    for number in range(50):
        statement_from_bytes(f"ALTER ROLE joe PASSWORD 'x{number}'".encode())
    assert form_of.cache_info().currsize == 1
