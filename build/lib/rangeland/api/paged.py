"""A page of a list that goes on from node to node, with the `start` token."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from msgspec import Struct

from rangeland.api.asking import Asking
from rangeland.cluster import Question
from rangeland.merge.paging import Paginator, parse_token, take_part
from rangeland.merge.part import Part
from rangeland.wire.parts import HotPart, ListPart

P = TypeVar("P", bound=Struct)
A = TypeVar("A", ListPart, HotPart)


async def ask_page(
    asking: Asking,
    question: Question[P, A],
    params: Callable[[int, int], P],
    limit: int,
    *,
    node_ids: list[int] | None = None,
) -> tuple[list[Part[A]], str]:
    """The parts of one page, cut to it, and the token of the next; `params` makes them of index and limit."""
    cluster = asking.services.cluster
    token = parse_token(asking.parameter("start"))
    paginator = Paginator(token, cluster.active_ids() if node_ids is None else node_ids, limit)
    page: list[Part[A]] = []
    while asks := paginator.next_asks():
        parts = await asyncio.gather(
            *(
                cluster.ask(ask.node_id, question, params(ask.index, ask.limit), deadline=asking.deadline)
                for ask in asks
            )
        )
        page.extend(kept for part in parts if (kept := take_part(paginator, part)) is not None)
    return page, paginator.token()
