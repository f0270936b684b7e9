"""Roles of servers that we run ourselves."""

from importlib.resources import files

import psycopg
from psycopg import sql

from rangeland.errors import EngineError


def create_role(conninfo: str, name: str, attributes: str, password: str) -> None:
    """Make a role. The server receives a SCRAM verifier, so that no log of it can hold the password.

    Raises: EngineError with the server's reason where it isn't made.
    """
    text = (files("rangeland.sql") / "schema" / "throwaway_role.sql").read_text("utf-8")
    try:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            verifier = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256")
            statement = sql.SQL(text).format(
                role=sql.Identifier(name),
                verifier=sql.Literal(verifier.decode()),
                attributes=sql.SQL(attributes),
            )
            connection.execute(statement)
    except psycopg.Error as exc:
        raise EngineError(f"role {name} was not made: {str(exc).splitlines()[0]}") from exc
