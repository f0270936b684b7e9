"""The users of this server, which are those of every server of the cluster: roles that may log in."""

from __future__ import annotations

from rangeland.collect.text import text_from_bytes
from rangeland.merge.paging import page_of_window, window
from rangeland.pg import Server
from rangeland.wire.parts import PageParams
from rangeland.wire.users import User, UsersAnswer


async def collect_users(server: Server, params: PageParams, *, deadline: float) -> UsersAnswer:
    """Return users by name, all or a page. Raises: ServerError."""
    skip, page_size = window(params.limit, params.offset)
    rows = await server.fetch("users", "list_users", deadline=deadline, skip=skip, page_size=page_size)
    page, next_offset = page_of_window(rows, params.limit, params.offset)
    return UsersAnswer([User(text_from_bytes(row[0])) for row in page], next=next_offset)
