"""An answer that any one node of the cluster can give."""

from __future__ import annotations

from typing import TypeVar

from msgspec import Struct

from rangeland.api.asking import Asking
from rangeland.api.replies import internal_error
from rangeland.cluster import Question
from rangeland.merge.part import text

P = TypeVar("P", bound=Struct)
A = TypeVar("A", bound=Struct)


async def ask_any(asking: Asking, question: Question[P, A], params: P, what: str) -> A:
    """This node's answer, or another's where its server is down; identical questions share it.

    Raises: HttpError 500, which says why `what` can't be had.
    """
    services = asking.services

    async def ask() -> A:
        part = await services.cluster.ask_any(question, params, deadline=asking.deadline)
        if part.value is None:
            raise internal_error(text(part, what))
        return part.value

    return await services.flights.join((question.path, params), ask)
