"""How the commands ask a node: over HTTPS, with the cluster key instead of a login."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from msgspec import Struct

from rangeland.client import Client
from rangeland.cluster.cluster import ask_signed
from rangeland.cluster.peer_token import PeerTokens
from rangeland.cluster.questions import Question
from rangeland.errors import NotPrimaryError, PeerError, RangelandError, SettingError
from rangeland.tls import client_context, read_cluster_key

P = TypeVar("P", bound=Struct)
A = TypeVar("A", bound=Struct)

TIMEOUT_S = 6.0  # a node answers within 5


def ask_node(values: Mapping[str, Any], question: Question[P, A], params: P, *, timeout_s: float = TIMEOUT_S) -> A:
    """The answer of the node of --url. Raises: SettingError, TlsError, PeerError with what was tried."""
    url = urlsplit(node_url(values))
    if url.scheme not in ("http", "https") or not url.hostname or url.path not in ("", "/"):
        raise SettingError(f"--url must be https://HOST:PORT, not {node_url(values)}")
    certs_dir = Path(values["certs_dir"]).expanduser()
    key = None if values["insecure"] else read_cluster_key(certs_dir)
    base = f"{url.scheme}://{url.netloc}"

    async def ask() -> A:
        client = Client(client_context(certs_dir) if url.scheme == "https" else None)
        try:
            deadline = asyncio.get_running_loop().time() + timeout_s
            return await ask_signed(client, PeerTokens(key), base, question, params, deadline=deadline)
        finally:
            await client.close()

    try:
        return asyncio.run(ask())
    except (PeerError, NotPrimaryError) as exc:
        raise PeerError(f"{base}: {exc}") from exc
    except RangelandError as exc:
        raise type(exc)(f"{base}: {exc}") from exc


def node_url(values: Mapping[str, Any]) -> str:
    """The node to ask: --url, or the one on this machine."""
    scheme = "http" if values["insecure"] else "https"
    return str(values["node_url"] or f"{scheme}://localhost:8080")


def local_time(ns: int) -> str:
    """A time as the reference prints it: UTC, without a zone; "" for 0."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(ns / 1e9)) + f".{ns // 1000 % 1_000_000:06d}" if ns else ""
