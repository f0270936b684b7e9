"""The driver's errors as ours: what is the server's fault, and what is the asker's."""

import psycopg
import pytest

from rangeland.errors import ServerDownError
from rangeland.pg.errors import server_error


def test_a_value_that_the_driver_refuses_says_nothing_about_the_server() -> None:
    """A text with a NUL in it once made a node believe that its server was down."""
    refused = server_error(
        psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"), doing="asking"
    )
    assert not isinstance(refused, ServerDownError)
    assert refused.sqlstate == "22000"


@pytest.mark.parametrize(
    "broken", [psycopg.OperationalError("the connection is lost"), psycopg.InterfaceError("closed")]
)
def test_a_connection_that_broke_is_a_server_that_is_down(broken: psycopg.Error) -> None:
    assert isinstance(server_error(broken, doing="asking"), ServerDownError)
