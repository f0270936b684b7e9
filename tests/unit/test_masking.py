"""No reader of a statement's text learns a password from it, however the statement is written or cut off."""

from __future__ import annotations

import pytest

from rangeland.collect.masking import MASK, mask_passwords

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
