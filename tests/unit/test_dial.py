"""libpq's words about a connection that did not come about, as errors of ours."""

import pytest

from rangeland.errors import ServerDownError, ServerError
from rangeland.pg.dial import refusal

AT = 'connection to server at "127.0.0.1", port 5432 failed: '


@pytest.mark.parametrize(
    ("severity", "sqlstate"),
    [("FATAL", "28P01"), ("FATAL", "28000"), ("FATAL", "3D000"), ("FATAL", "42501"), ("ВАЖНО", "28P01")],
)
def test_a_refusal_tells_its_sqlstate_in_every_language(severity: str, sqlstate: str) -> None:
    error = refusal(f"{AT}{severity}:  {sqlstate}: some reason\nLOCATION:  auth_failed, auth.c:331\n")
    assert (error.sqlstate, str(error)) == (sqlstate, "some reason")
    assert not isinstance(error, ServerDownError)


@pytest.mark.parametrize("sqlstate", ["57P01", "57P03", "53300", "55000", "08006"])
def test_a_server_that_takes_nobody_is_down(sqlstate: str) -> None:
    error = refusal(f"{AT}FATAL:  {sqlstate}: some reason\nLOCATION:  ProcessStartupPacket, postmaster.c:2\n")
    assert isinstance(error, ServerDownError)
    assert error.sqlstate == sqlstate


def test_of_two_addresses_the_last_one_that_spoke_counts() -> None:
    refused = 'connection to server at "::1", port 5432 failed: Connection refused\n\tIs the server running?\n'
    assert refusal(f"{refused}{AT}FATAL:  28P01: no\n").sqlstate == "28P01"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{AT}Connection refused\n\tIs the server running?\n", 'server at "127.0.0.1", port 5432 failed'),
        ('could not translate host name "db" to address: Name or service not known\n', "could not translate"),
        ("", "no reason given"),
    ],
)
def test_a_server_that_is_not_reached_is_down_with_the_systems_reason(text: str, said: str) -> None:
    error = refusal(text)
    assert isinstance(error, ServerDownError)
    assert said in str(error)
    assert isinstance(error, ServerError)
    assert error.sqlstate is None
