"""/users/: who can log in to the cluster's servers."""

from __future__ import annotations

from starlette.responses import Response

from rangeland.api.asking import Asking
from rangeland.api.one_part import ask_any
from rangeland.api.replies import json_reply
from rangeland.cluster import questions as q
from rangeland.merge.paging import parse_limit, parse_offset
from rangeland.wire.parts import PageParams


async def list_users(asking: Asking) -> Response:
    """Who can log in to the cluster's servers, by name; `limit` and `offset` cut a page."""
    params = PageParams(limit=parse_limit(asking.parameter("limit")), offset=parse_offset(asking.parameter("offset")))
    return json_reply(await ask_any(asking, q.USERS, params, "users"))
