"""What the Patroni beside this node says of itself, where the node was told where it is."""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec import Struct

from rangeland.client import Client
from rangeland.errors import PeerError
from rangeland.wire.json import DecodeError, decode
from rangeland.wire.parts import PatroniMember, PatroniPart

TIMEOUT_S = 1.0  # it is on this host and answers in milliseconds; the rest of the reading takes as long


class _Member(Struct):
    name: str
    role: str = ""
    state: str = ""
    tags: dict[str, Any] = {}


class _Cluster(Struct):
    """GET /cluster. Source: Patroni, REST API."""

    members: list[_Member]
    pause: bool = False


class PatroniCollector:
    """Asks `url`, without credentials; None: there is no Patroni to ask."""

    def __init__(self, url: str | None) -> None:
        self._url = url
        self._client = Client(None)  # a certificate of Patroni's is no matter of the cluster's CA

    async def collect(self, *, deadline: float) -> PatroniPart | None:
        """Within a second; never raises."""
        if self._url is None:
            return None
        deadline = min(deadline, asyncio.get_running_loop().time() + TIMEOUT_S)
        try:
            reply = await self._client.request("GET", f"{self._url}/cluster", deadline=deadline)
            if reply.status != 200:
                return PatroniPart(url=self._url, error=f"it answers with status {reply.status}")
            return part_from_answer(self._url, reply.body)
        except PeerError as exc:
            return PatroniPart(url=self._url, error=str(exc))
        except DecodeError:
            return PatroniPart(url=self._url, error="what answers there is no Patroni")

    async def close(self) -> None:
        await self._client.close()


def part_from_answer(url: str, body: bytes) -> PatroniPart:
    """Tags that are no plain values are left out. Raises: DecodeError."""
    answer = decode(_Cluster, body)
    members = [
        PatroniMember(
            name=each.name,
            role=each.role,
            state=each.state,
            tags={tag: value for tag, value in each.tags.items() if isinstance(value, (str, int, float, bool))},
        )
        for each in answer.members
    ]
    return PatroniPart(url=url, is_paused=answer.pause, members=members)
