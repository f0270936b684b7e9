"""The tables of one database: their names, and all that the catalogues tell of one of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from msgspec import UNSET

from rangeland.collect.databases import Databases, Fetch, find_database, grant_from_row
from rangeland.collect.range_rows import range_id_of
from rangeland.collect.sizes import SizeBook
from rangeland.collect.table_rows import (
    ColumnRow,
    ConstraintRow,
    IndexRow,
    TableRow,
    column_from_row,
    create_statement,
    index_from_row,
    parse_table_name,
)
from rangeland.collect.text import text_from_bytes
from rangeland.errors import ServerError
from rangeland.merge.paging import page_of_window, window
from rangeland.pg import Server
from rangeland.wire.databases import TableAnswer, TablesAnswer, ZoneConfig
from rangeland.wire.parts import DatabaseParams, DatabaseTablesPart, TableParams, TablePart
from rangeland.wire.ranges import Sizes
from rangeland.wire.times import rfc3339

_LOCK_TIMEOUT = "55P03"  # lock_not_available
_NUMBER = 0  # stands for the one database whose tables are sized here
_SIZED_LEAVES = 10_000  # 0.8 s


class TableCollector:
    """Each answer takes the parameters and a deadline in loop time, visits one database, and may raise ServerError.

    Any server of the cluster gives the same answers, except sizes and the time of the last ANALYZE.
    """

    def __init__(self, server: Server, databases: Databases) -> None:
        self._server = server
        self._databases = databases

    async def collect_tables(self, params: DatabaseParams, deadline: float) -> DatabaseTablesPart:
        """List a database's tables by schema and name, all or a page."""
        found = await find_database(self._server, params.database, deadline=deadline)
        if found is None:
            return DatabaseTablesPart(answer=None)
        skip, page_size = window(params.limit, params.offset)

        async def work(fetch: Fetch) -> list[tuple[Any, ...]]:
            return await fetch.fetch("databases", "list_tables", deadline=deadline, skip=skip, page_size=page_size)

        rows = await self._databases.read(found, work, deadline=deadline)
        if rows is None:
            return DatabaseTablesPart(answer=None)
        page, next_offset = page_of_window(rows, params.limit, params.offset)
        table_names = [text_from_bytes(row[0]) for row in page]
        return DatabaseTablesPart(answer=TablesAnswer(table_names=table_names, next=next_offset))

    async def collect_table(self, params: TableParams, deadline: float) -> TablePart:
        """Describe a table in one visit."""
        found = await find_database(self._server, params.database, deadline=deadline)
        if found is None:
            return TablePart(answer=None)
        work = partial(_read_table, name=params.table, deadline=deadline)
        return TablePart(answer=await self._databases.read(found, work, deadline=deadline))


async def _read_table(fetch: Fetch, *, name: str, deadline: float) -> TableAnswer | None:
    try:
        return await _read_table_once(fetch, name=name, deadline=deadline)
    except ServerError as exc:
        if exc.sqlstate != _LOCK_TIMEOUT:
            raise
    # The lock came between looking for locks and reading expressions: now it is seen.
    return await _read_table_once(fetch, name=name, deadline=deadline)


async def _read_table_once(fetch: Fetch, *, name: str, deadline: float) -> TableAnswer | None:
    schemas, names = parse_table_name(name)
    rows = await fetch.fetch("databases", "find_table", deadline=deadline, schemas=schemas, names=names)
    if not rows:
        return None
    table = TableRow(*rows[0])

    async def read(block: str, **more: bool) -> list[tuple[Any, ...]]:
        return await fetch.fetch("databases", block, deadline=deadline, oid=table.oid, **more)

    columns = [ColumnRow(*row) for row in await read("list_columns", is_locked=table.is_locked)]
    indexes = [IndexRow(*row) for row in await read("list_indexes", is_locked=table.is_locked)]
    constraints = [] if table.is_locked else [ConstraintRow(*row) for row in await read("list_constraints")]
    leaves = await read("list_leaves")
    sizes = await _read_sizes(fetch, leaves, deadline)
    return TableAnswer(
        grants=[grant_from_row(row) for row in await read("list_table_grants")],
        columns=[column_from_row(row) for row in columns],
        indexes=[index_from_row(row) for row in indexes],
        range_count=len(leaves),
        create_table_statement=create_statement(table, columns, indexes, constraints),
        descriptor_id=table.oid,
        zone_config=ZoneConfig(),
        stats_last_created_at=rfc3339(table.analyzed_at) if table.analyzed_at else "",
        data_total_bytes=sizes.total_bytes if sizes else UNSET,
        schema_name=text_from_bytes(table.schema_name),
        table=text_from_bytes(table.table_name),
        kind=table.kind,
        owner=text_from_bytes(table.owner),
        sizes=sizes,
    )


async def _read_sizes(fetch: Fetch, leaves: Sequence[tuple[int, bool]], deadline: float) -> Sizes | None:
    """Of all leaves together; None where one is locked, has no files here, or where there are none or too many."""
    if not 0 < len(leaves) <= _SIZED_LEAVES or not all(has_files for _, has_files in leaves):
        return None
    book = SizeBook()
    await book.read(fetch, _NUMBER, [oid for oid, _ in leaves], deadline=deadline)
    known = [book.last(range_id_of(_NUMBER, oid)) for oid, _ in leaves]
    sizes = [each.sizes for each in known if each is not None]
    if len(sizes) < len(leaves):
        return None
    return Sizes(
        total_bytes=sum(each.total_bytes for each in sizes),
        table_bytes=sum(each.table_bytes for each in sizes),
        indexes_bytes=sum(each.indexes_bytes for each in sizes),
        toast_bytes=sum(each.toast_bytes for each in sizes),
    )
