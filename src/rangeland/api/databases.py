"""/databases/ and the paths below it: the databases of the cluster, who may do what with them, and their tables."""

from __future__ import annotations

from typing import TypeVar

from starlette.responses import Response

from rangeland.api.asking import Asking
from rangeland.api.one_part import ask_any
from rangeland.api.replies import HttpError, json_reply
from rangeland.cluster import questions as q
from rangeland.merge.paging import parse_limit, parse_offset
from rangeland.wire.parts import DatabaseParams, PageParams, TableParams

A = TypeVar("A")

_NO_DATABASE = "database not found"


async def list_databases(asking: Asking) -> Response:
    """The databases of the cluster, by name; `limit` and `offset` cut a page."""
    params = PageParams(limit=parse_limit(asking.parameter("limit")), offset=parse_offset(asking.parameter("offset")))
    return json_reply(await ask_any(asking, q.DATABASES, params, "databases"))


async def show_database(asking: Asking) -> Response:
    """One database: its oid, owner, encoding and size."""
    params = DatabaseParams(database=asking.path_part("database"))
    part = await ask_any(asking, q.DATABASE, params, f"database {params.database}")
    return json_reply(_found(part.answer, _NO_DATABASE))


async def list_grants(asking: Asking) -> Response:
    """Who may do what with a database, by user; `limit` and `offset` cut a page."""
    params = _page_of_database(asking)
    part = await ask_any(asking, q.DATABASE_GRANTS, params, f"grants on database {params.database}")
    return json_reply(_found(part.answer, _NO_DATABASE))


async def list_tables(asking: Asking) -> Response:
    """The tables of a database, by schema and name; `limit` and `offset` cut a page."""
    params = _page_of_database(asking)
    part = await ask_any(asking, q.DATABASE_TABLES, params, f"tables of database {params.database}")
    return json_reply(_found(part.answer, _NO_DATABASE))


async def show_table(asking: Asking) -> Response:
    """One table, named with or without its schema: columns, indexes, grants, statement and sizes."""
    params = TableParams(database=asking.path_part("database"), table=asking.path_part("table"))
    part = await ask_any(asking, q.TABLE, params, f"table {params.table} of database {params.database}")
    return json_reply(_found(part.answer, "database or table not found"))


def _page_of_database(asking: Asking) -> DatabaseParams:
    return DatabaseParams(
        database=asking.path_part("database"),
        limit=parse_limit(asking.parameter("limit")),
        offset=parse_offset(asking.parameter("offset")),
    )


def _found(answer: A | None, text: str) -> A:
    """Raises: HttpError 404 where there is none."""
    if answer is None:
        raise HttpError(404, text)
    return answer
