"""No reader of a statement's text learns a password from it, however the statement is written or cut off."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rangeland.collect.masking import MASK, mask_passwords
from rangeland.collect.statements import statement_from_bytes

SECRET = "s3cr3t"  # what must never be seen; each statement below holds it once or more

WITH_PASSWORD = [
    f"ALTER ROLE joe PASSWORD '{SECRET}'",
    f"alter user joe with encrypted password '{SECRET}' valid until 'infinity'",
    f"CREATE ROLE joe LOGIN PASSWORD E'{SECRET}\\n' CONNECTION LIMIT 3",
    f"CREATE ROLE joe PASSWORD U&'\\0041{SECRET}' UESCAPE '!'",
    f"CREATE USER joe PASSWORD $$o'{SECRET}$$",
    f"CREATE USER joe PASSWORD $x$o$${SECRET}$x$",
    f"CREATE GROUP g PASSWORD /* no */ 'it''s {SECRET}'",
    f"CREATE ROLE joe PASSWORD -- here it is: '\n 'a'\n '{SECRET}'",
    f"BEGIN; ALTER ROLE joe PASSWORD 'x{SECRET}'; ALTER ROLE ann PASSWORD '{SECRET}'; COMMIT",
    f"ALTER ROLE joe PASSWORD 'ends in a backslash\\'; ALTER ROLE ann PASSWORD '{SECRET}'",
    f"ALTER ROLE joe PASSWORD 'quote\\'{SECRET}'",
    f"SELECT 'a\\', 1; ALTER ROLE joe PASSWORD '{SECRET}'",
    f"ALTER ROLE joe PASSWORD 'SCRAM-SHA-256$4096:{SECRET}$x:y'",
    f"CREATE USER MAPPING FOR joe SERVER s OPTIONS (user 'joe', password '{SECRET}')",
    f"ALTER USER MAPPING FOR joe SERVER s OPTIONS (SET \"password\" '{SECRET}', ADD key ' {SECRET}')",
    f"CREATE SERVER s FOREIGN DATA WRAPPER w OPTIONS (host 'h', token '{SECRET}')",
    f"CREATE SUBSCRIPTION s CONNECTION 'host=h user=u password={SECRET}' PUBLICATION p",
    f"ALTER SUBSCRIPTION s CONNECTION 'postgresql://u:{SECRET}@h/d'",
    f"ALTER SYSTEM SET primary_conninfo = 'host=h password={SECRET}'",
    f"ALTER SYSTEM SET primary_conninfo TO 'host=h password={SECRET}'",
    f"SELECT dblink_connect('c', 'host=h password={SECRET} user=u')",
    f"SELECT dblink_connect('postgresql://u:{SECRET}@h/d')",
    f"DO $$ BEGIN EXECUTE 'ALTER ROLE joe PASSWORD ''{SECRET}'''; END $$",
    f"DO 'BEGIN ALTER ROLE joe PASSWORD ''{SECRET}''; END'",
    f"SELECT format('ALTER ROLE %I PASSWORD %L', 'joe', '{SECRET}')",
    f"DO $$ BEGIN EXECUTE 'ALTER ROLE joe PASSWORD ' || quote_literal('{SECRET}'); END $$",
    f"DO $$ BEGIN CREATE SUBSCRIPTION s CONNECTION 'host=h pass={SECRET}' PUBLICATION p; END $$",
    f"DO $$ BEGIN CREATE USER MAPPING FOR joe SERVER s OPTIONS (key '{SECRET}'); END $$",
    f"/* /* */ ' */ ALTER ROLE joe PASSWORD '{SECRET}'",
    f"UPDATE users SET password = '{SECRET}' WHERE id = 1",
    f"SET app.db_password TO '{SECRET}'",
    f"SET app.db_password TO {SECRET}",
    f"SET LOCAL app.password = {SECRET}",
    f"ALTER ROLE joe PASSWORD {SECRET}",
    f'ALTER USER joe ENCRYPTED PASSWORD "{SECRET}"',
    f"INSERT INTO users (name, password) VALUES ('joe', '{SECRET}'), ('ann', 'x{SECRET}')",
    f"INSERT INTO keys (api_key) SELECT '{SECRET}'",
    f"SELECT * FROM users WHERE password IN ('{SECRET}', 'x{SECRET}')",
    f"SELECT * FROM users WHERE password <> '{SECRET}'",
    f"SELECT * FROM users WHERE name = 'joe' AND passwd LIKE '{SECRET}%'",
    f"SELECT set_password('joe', lower('{SECRET}'))",
    f"SELECT * FROM web WHERE token = '{SECRET}'",
    f"UPDATE accounts SET client_secret = E'{SECRET}' WHERE id = 1",
    f"UPDATE users SET hash = crypt('{SECRET}', gen_salt('bf'))",
    f"SELECT pgp_sym_decrypt(data, '{SECRET}') FROM t",
    f"SELECT encrypt(data, $${SECRET}$$::bytea, 'aes'), hmac(data, '{SECRET}', 'sha256') FROM t",
    f"SELECT aws_commons.create_aws_credentials('name', '{SECRET}', '')",
    f"COPY t TO PROGRAM 'curl -u joe:{SECRET} https://h/'",
    f"COPY t FROM PROGRAM $$wget --header 'key: {SECRET}' https://h/$$",
    f"CREATE FOREIGN DATA WRAPPER w OPTIONS (key '{SECRET}')",
    f"CREATE FOREIGN TABLE t (a int) SERVER s OPTIONS (secret '{SECRET}')",
    f"SELECT 1 /* password: {SECRET} */",
    f"SELECT 1 -- the token is {SECRET}",
    f"SELECT dblink_connect(E'host=h\\npassword={SECRET}')",
    f"SELECT dblink('host=h PWD={SECRET}', 'SELECT 1')",
    f"SELECT set_config('app.password', '{SECRET}', false)",
    f"ALTER ROLE joe PASSWORD '{SECRET}'; ALTER ROLE ann PASSWORD ''",
    f"ALTER ROLE joe PASSWORD '{SECRET}'; SELECT 'a\\' b'",
    f"NOTIFY news, 'password={SECRET}'",
]


@pytest.mark.parametrize("statement", WITH_PASSWORD)
def test_a_password_is_masked(statement: str) -> None:
    masked = mask_passwords(statement)
    assert SECRET not in masked
    assert MASK in masked


@pytest.mark.parametrize("statement", WITH_PASSWORD)
def test_a_password_is_masked_wherever_the_text_is_cut_off(statement: str) -> None:
    for length in range(len(statement)):
        assert SECRET[:4] not in mask_passwords(statement[:length])


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1",
        "SELECT password, 'x' FROM users WHERE name = 'joe'",
        "SELECT abalance FROM pgbench_accounts WHERE aid = $1;",
        "ALTER ROLE joe PASSWORD NULL VALID UNTIL '2030-01-01'",
        "ALTER ROLE joe CONNECTION LIMIT 3",
        "SELECT 'lost connection', 'options' FROM log",
        "UPDATE users SET password = $1 WHERE name = 'joe'",
        "CREATE TABLE t (a text) WITH (fillfactor = 70) -- connection: it's odd",
        "SELECT 'https://example.org/a' AS url",
        "IMPORT FOREIGN SCHEMA s FROM SERVER x INTO y",
        "SELECT 'unfinished",
        "",
        "SELECT token, 'x' FROM web WHERE id = 5",
        "CREATE TABLE users (name varchar(10), password varchar(20) DEFAULT 'x')",
        "INSERT INTO t VALUES (1, 'program')",
        "SELECT 1 /* nothing to see */ -- here",
        "SELECT count(*) FROM tokens WHERE kind = 'a' AND n > 5",
        "COPY t FROM STDIN",
        "UPDATE users SET password = other WHERE password = $1",
    ],
)
def test_a_text_without_a_password_stays_as_it_is(statement: str) -> None:
    assert mask_passwords(statement) == statement


def test_what_surrounds_a_password_stays_readable() -> None:
    assert (
        mask_passwords("ALTER ROLE joe PASSWORD 'x' VALID UNTIL '2030-01-01'; SELECT 'y'")
        == f"ALTER ROLE joe PASSWORD '{MASK}' VALID UNTIL '2030-01-01'; SELECT 'y'"
    )


EVEN = settings(max_examples=300, deadline=None, database=None)
FRAGMENTS = [
    *(
        "password",
        "PASSWORD",
        '"password"',
        "api_key",
        "token",
        "crypt(",
        "pgp_sym_encrypt(",
        "program",
        "connection",
    ),
    *(
        "options (",
        "user mapping",
        "alter role joe",
        "set",
        "insert into t (password)",
        "values",
        "=",
        "to",
        "in",
        "(",
    ),
    *(")", ";", ",", "--", "/*", "*/", "\n", "'", "''", "'x'", "$$", "$a$", "E'", "\\", '"', "5", "null", "://u:p@h"),
]
TEMPLATES = [
    "ALTER ROLE joe PASSWORD {0}",
    "ALTER ROLE joe VALID UNTIL 'infinity' ENCRYPTED PASSWORD {0} CONNECTION LIMIT 3; SELECT 1",
    "CREATE USER MAPPING FOR joe SERVER s OPTIONS (user 'x', password {0})",
    "CREATE SUBSCRIPTION s CONNECTION {0} PUBLICATION p",
    "INSERT INTO users (id, password) VALUES (1, {0}), (2, {0})",
    "SELECT crypt({0}, gen_salt('bf')), 'x'",
    "UPDATE users SET secret = {0}, name = 'x'",
    "SELECT * FROM users WHERE token IN ({0}, {0})",
    "COPY t TO PROGRAM {0}",
]
QUOTED = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\\"), max_size=8).map(
    lambda text: "'" + (text + SECRET + text).replace("'", "''") + "'"
)
LITERALS = st.one_of(
    QUOTED,
    QUOTED.map(lambda text: f"E{text}"),
    QUOTED.map(lambda text: f"E'\\\\\\'{text[1:]}"),
    QUOTED.map(lambda text: f"U&{text}"),
    QUOTED.map(lambda text: f"/* ' */ {text}"),
    QUOTED.map(lambda text: f"{text} -- '\n{text}"),
    QUOTED.map(lambda text: f"$x${text}$x$"),
)


@EVEN
@given(st.sampled_from(TEMPLATES), LITERALS, st.none() | st.integers(min_value=0, max_value=150))
def test_no_secret_of_a_statement_is_seen_in_it_or_in_its_beginning(
    template: str, literal: str, length: int | None
) -> None:
    statement = template.format(literal)[:length]
    assert SECRET[:4] not in mask_passwords(statement)
    shown = statement_from_bytes(statement.encode())
    assert SECRET[:4] not in f"{shown.sql} {shown.form.no_constants} {shown.form.summary}"


@EVEN
@given(st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=3), max_size=25).map(" ".join))
def test_no_text_is_too_odd_to_be_masked(text: str) -> None:
    masked = mask_passwords(text)
    assert masked == text or MASK in masked
    assert statement_from_bytes(text.encode(errors="ignore")) is not None
