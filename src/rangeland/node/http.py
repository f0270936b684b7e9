"""The node's HTTP port: HTTP/1.1 and HTTP/2, TLS or not, over Granian inside our own event loop.

What Granian leaves to us: it shares a port that somebody else has, it never ends a drain on a client that has
stalled, it reads only unencrypted PKCS#8 keys, and a change of certificates is a second server beside the first.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import socket
import struct
import sys
from typing import Any

import psutil
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.server.embed import Server
from starlette.types import ASGIApp, Receive, Scope, Send

from rangeland.config import joined
from rangeland.errors import ListenError
from rangeland.tls import NodeMaterial

BACKLOG = 1024
CONNECT_WAIT_S = 5.0
END_POLL_S = 0.2
# What a TLS handshake may take on a busy machine; one that is under way when its listener ends is cut.
HANDSHAKE_S = 1.0

_SO_ATTACH_REUSEPORT_CBPF = 51  # Source: Linux, asm-generic/socket.h
_BPF_RETURN = 0x06  # BPF_RET | BPF_K. Source: Linux, linux/bpf_common.h


class HttpServer:
    """Serves an ASGI app; `open_requests` counts those that are being answered."""

    def __init__(self, app: ASGIApp, *, host: str, port: int, tls: NodeMaterial | None) -> None:
        self._app = app
        self._host = resolved(host, port)
        self._port = port
        self._tls = tls
        self._running: tuple[Server, asyncio.Task[None]] | None = None
        self._retired: set[asyncio.Task[None]] = set()
        self._renewing = asyncio.Lock()
        self.open_requests = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def require_free(self) -> None:
        """Raises: ListenError where the address can't be had."""
        require_free(self._host, self._port)

    @property
    def tls(self) -> NodeMaterial | None:
        """What is served now; None without TLS."""
        return self._tls

    async def start(self) -> None:
        """Listen. Raises: ListenError where the address can't be had."""
        self.require_free()
        self._running = await self._spawned()

    async def renew(self, tls: NodeMaterial) -> bool:
        """Serve new connections with other certificates; open ones end on the old. False: they are the same ones."""
        async with self._renewing:
            if tls == self._tls:
                return False
            self._tls = tls
            old = self._running
            self._running = await self._spawned()
            if old is not None:
                prefer_newest_listener(self._port)
                await asyncio.sleep(HANDSHAKE_S)
                task = asyncio.create_task(_ended(*old, timeout_s=15.0))
                self._retired.add(task)
                task.add_done_callback(self._retired.discard)
            return True

    async def wait_idle(self) -> None:
        """Return when no request is being answered."""
        await self._idle.wait()

    async def stop(self, *, timeout_s: float) -> None:
        """Accept nothing more, let open requests finish for at most `timeout_s`, then cut."""
        if self._running is not None:
            server, task = self._running
            self._running = None
            await _ended(server, task, timeout_s=timeout_s, port=self._port)
        for retired in list(self._retired):
            retired.cancel()

    async def _spawned(self) -> tuple[Server, asyncio.Task[None]]:
        server = Server(
            self._counted,
            address=self._host,
            port=self._port,
            interface=Interfaces.ASGINL,
            http=HTTPModes.auto,
            websockets=False,
            backlog=BACKLOG,
            log_enabled=False,
        )
        if self._tls is not None:
            server.ssl_ctx = _ssl_settings(self._tls)
        task = asyncio.create_task(server.serve())
        await self._listening(task)
        return server, task

    async def _listening(self, task: asyncio.Task[None]) -> None:
        """Wait until the port takes connections; a server that ended instead says why."""
        async with asyncio.timeout(CONNECT_WAIT_S):
            while not task.done():
                try:
                    _, writer = await asyncio.open_connection(self._host, self._port)
                except OSError:
                    await asyncio.sleep(0.01)
                    continue
                writer.close()
                return
        raise ListenError(f"can't serve {joined(self._host, self._port)}: {task.exception()}")

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.open_requests += 1
        self._idle.clear()
        try:
            await self._app(scope, receive, send)
        finally:
            self.open_requests -= 1
            if not self.open_requests:
                self._idle.set()


def resolved(host: str, port: int) -> str:
    """The IP address to bind: all IPv4 interfaces for an empty host. Raises: ListenError."""
    if not host:
        return "0.0.0.0"  # noqa: S104  # every interface is what an empty host asks for
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as exc:
        raise ListenError(f"--http-addr: the host {host} can't be resolved: {exc}") from exc
    found.sort(key=lambda info: info[0] != socket.AF_INET)
    return str(found[0][4][0])


def require_free(host: str, port: int) -> None:
    """Bind the address once, alone: Granian would silently share a port that is taken. Raises: ListenError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as exc:
            raise ListenError(
                f"can't listen on {joined(host, port)}: {os.strerror(exc.errno or 0).lower()}: is another node "
                "or program serving it? --http-addr takes another"
            ) from exc


def prefer_newest_listener(port: int) -> None:
    """Lead new connections to the second of two listeners of this process that share a port.

    The first one can then be closed without cutting off a client that is just connecting. Where the system can't,
    both go on taking connections.
    """
    listening = [each.fd for each in psutil.Process().net_connections("tcp") if _is_listener(each, port)]
    if sys.platform != "linux" or len(listening) != 2:
        return
    instruction = ctypes.create_string_buffer(struct.pack("HBBI", _BPF_RETURN, 0, 0, 1))  # "take number 1, from 0"
    program = struct.pack("HL", 1, ctypes.addressof(instruction))
    with socket.socket(fileno=os.dup(listening[0])) as listener, contextlib.suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, program)


def _is_listener(connection: Any, port: int) -> bool:
    return bool(connection.status == psutil.CONN_LISTEN and connection.laddr.port == port)


async def _ended(server: Server, task: asyncio.Task[None], *, timeout_s: float, port: int = 0) -> None:
    """Accept nothing more; cut after `timeout_s` who is still connected.

    With `port`, the only listener's, also once nobody is connected any more: at times the server waits all the same.
    """
    server.stop()  # type: ignore[no-untyped-call]
    left_s = timeout_s
    while not task.done() and left_s > 0:
        wait_s = min(left_s, END_POLL_S)
        await asyncio.wait({task}, timeout=wait_s)
        left_s = min(left_s - wait_s, END_POLL_S if port and not _has_clients(port) else left_s)
    if not task.done():
        for worker in server.wrks:
            worker.kill()  # type: ignore[no-untyped-call]
        task.cancel()
        await asyncio.wait({task}, timeout=1.0)


def _has_clients(port: int) -> bool:
    connections = psutil.Process().net_connections("tcp")
    return any(each.laddr.port == port and each.status != psutil.CONN_LISTEN for each in connections)


def _ssl_settings(tls: NodeMaterial) -> tuple[Any, ...]:
    """What Granian's workers take; a key that is not PKCS#8 is handed over in memory."""
    key_path = str(tls.key_path) if tls.is_pkcs8 else _in_memory(tls.key_pem)
    return (True, str(tls.cert_path), key_path, None, str(SSLProtocols.tls12), None, [], False)


def _in_memory(content: bytes) -> str:
    fileno = os.memfd_create("node.key", os.MFD_CLOEXEC)
    os.write(fileno, content)
    return f"/proc/self/fd/{fileno}"
