"""A node: every part of it, put together, started, drained and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import time

import structlog

from rangeland import __version__
from rangeland.api.app import make_app
from rangeland.api.services import Services
from rangeland.auth import Auth
from rangeland.client import Client
from rangeland.cluster import Cluster
from rangeland.cluster.peer_token import PeerTokens
from rangeland.collect.nodes import NodeFacts
from rangeland.config import DRAIN_TIMEOUT_S, joined
from rangeland.errors import RangelandError, ServerDownError, TlsError
from rangeland.node.answers import make_answers
from rangeland.node.collectors import Collectors
from rangeland.node.http import HttpServer
from rangeland.node.membership import Membership
from rangeland.node.settings import NodeSettings
from rangeland.pg import Server
from rangeland.pg.server import require_usable
from rangeland.tls import NodeMaterial, client_context, read_cluster_key, read_node_material

START_TIMEOUT_S = 3.0
NO_KEY = b"insecure"  # stands for the cluster key where nothing is protected

log = structlog.get_logger()


class Node:
    """`run` serves until SIGTERM or SIGINT."""

    def __init__(self, settings: NodeSettings, *, key: bytes | None, tls: NodeMaterial | None) -> None:
        self._settings = settings
        self._stop = asyncio.Event()
        self._draining = False
        self._client = Client(None if settings.insecure else client_context(settings.certs_dir))
        self._tokens = PeerTokens(key)
        self._server = Server(settings.server_url)
        self._cluster = Cluster(
            client=self._client,
            tokens=self._tokens,
            server=self._server,
            http_addr=settings.http_addr,
            sql_addr=settings.sql_addr,
            scheme=settings.scheme,
        )
        self._auth = Auth(
            self._server,
            self._cluster,
            key=key or NO_KEY,
            login_url=settings.login_url,
            lifetime_s=settings.web_session_timeout_s,
        )
        self._cluster.on_hello = self._auth.revocations.take_hello
        self._collectors = Collectors(
            server=self._server,
            cluster=self._cluster,
            facts=_facts(settings),
            draining=lambda: self._draining,
        )
        self._membership = Membership(
            server=self._server,
            cluster=self._cluster,
            auth=self._auth,
            key=key or NO_KEY,
            join=settings.join,
            status=self._collectors.own_status,
        )
        self._services = Services(
            cluster=self._cluster,
            auth=self._auth,
            unready=self._unready,
            verify_peer=lambda token, path: self._tokens.verify(token, path, now_s=time.time()),
            role_header=self._role_header,
            insecure=settings.insecure,
            trusted_proxy=settings.trusted_proxy,
            now_ns=time.time_ns,
        )
        self._cluster.answers = make_answers(
            server=self._server,
            services=self._services,
            collectors=self._collectors,
            membership=self._membership,
        )
        self._http = HttpServer(make_app(self._services), host=settings.http_host, port=settings.http_port, tls=tls)

    async def run(self) -> None:
        """Serve until told to stop. Raises: an error of ours where the node can't begin."""
        _raise_file_limit()
        self._http.require_free()
        self._on_signals()
        try:
            await self._require_possible()
            self._server.on_change = self._server_changed
            if self._server.down is None:
                self._server_changed()
            self._server.start()
            await self._http.start()
            log.info(
                "serving",
                http_addr=joined(self._settings.http_host or "0.0.0.0", self._settings.http_port),  # noqa: S104
                advertised=self._settings.http_addr,
                tls=self._settings.serves_tls,
            )
            if self._settings.insecure:
                log.warning("--insecure: everybody who reaches this port may read everything")
            await self._serve()
            log.info("stopped")
        finally:
            await self._close()

    async def _require_possible(self) -> None:
        """What will not mend itself ends the start; a server that is down is waited for."""
        deadline = asyncio.get_running_loop().time() + START_TIMEOUT_S
        try:
            await require_usable(self._server, deadline=deadline)
        except ServerDownError as exc:
            if "could not translate host name" in str(exc):
                raise
            log.warning("the server is down; serving without it until it is up", cause=str(exc))
            return
        self._server.start()
        await self._server.wait_until_up(deadline=deadline)
        await self._membership.read_state(deadline)

    async def _serve(self) -> None:
        tasks = [
            asyncio.create_task(self._membership.run()),
            asyncio.create_task(self._membership.run_clock()),
            asyncio.create_task(self._sample()),
        ]
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        failures = [error for task in tasks if task.done() and (error := task.exception())]
        for error in failures:
            log.error("a part of this node failed", exc_info=error)
        await self._drain()
        stopping.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        if failures:
            raise RangelandError(f"a part of this node failed: {failures[0]}")

    async def _sample(self) -> None:
        """The sampler's first reading wants the numbers of databases, which only a member can ask for."""
        await self._membership.registered.wait()
        await self._collectors.run()

    async def _drain(self) -> None:
        """`ready` says 500 from now on; open requests finish, 15 s at most."""
        self._draining = True
        log.info("draining", open_requests=self._http.open_requests)
        deadline = asyncio.get_running_loop().time() + DRAIN_TIMEOUT_S
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await self._http.wait_idle()
        await self._http.stop(timeout_s=max(deadline - asyncio.get_running_loop().time(), 1.0))

    async def _close(self) -> None:
        self._ignore_signals()
        await self._http.stop(timeout_s=1.0)
        await self._cluster.close()
        await self._collectors.close()
        await self._client.close()
        await self._server.close()

    def _on_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: loop.create_task(self._renew_certificates()))

    def _ignore_signals(self) -> None:
        """A second SIGTERM, while the loop is being closed, must not turn a clean end into a killed process."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)

    async def _renew_certificates(self) -> None:
        """SIGHUP: take the certificates that are on disk now; bad ones leave the old in use."""
        if not self._settings.serves_tls:
            return
        try:
            tls = read_node_material(self._settings.certs_dir)
            context = client_context(self._settings.certs_dir)
        except TlsError as exc:
            log.error("the new certificates are not usable; the old stay", cause=str(exc))
            return
        self._client.use_tls(context)
        await self._http.renew(tls)
        log.info("certificates renewed", not_after=tls.not_after.isoformat())

    def _server_changed(self) -> None:
        down = self._server.down
        if down is None:
            log.info("server is up", role=self._server.role.value, version=self._server.version)
            if self._server.warning:
                log.warning(self._server.warning)
        else:
            log.warning("server is down", cause=down.reason)
        self._membership.changed()

    def _unready(self) -> str | None:
        if self._draining:
            return "draining"
        if self._server.down is not None:
            return f"the server is down: {self._server.down.reason}"
        return self._membership.trouble

    def _role_header(self) -> str:
        if self._server.down is not None:
            return "unknown;0"
        return f"{self._server.role.value};{self._server.timeline}"


def make_node(settings: NodeSettings) -> Node:
    """Read keys and certificates, then build the node; must be called inside the event loop.

    Raises: TlsError, SettingError.
    """
    tls = read_node_material(settings.certs_dir) if settings.serves_tls else None
    key = None if settings.insecure else read_cluster_key(settings.certs_dir)
    return Node(settings, key=key, tls=tls)


def _facts(settings: NodeSettings) -> NodeFacts:
    return NodeFacts(
        build_tag=f"v{__version__}",
        http_address=settings.http_addr,
        sql_address=settings.sql_addr,
        started_at_ns=time.time_ns(),
        cluster_name=settings.cluster_name,
        tiers=settings.locality,
        attrs=settings.attrs,
    )


def _raise_file_limit() -> None:
    """A connection a peer and a client: the soft limit of 1,024 is reached long before the machine is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
