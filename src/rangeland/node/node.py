"""A node: every part of it, put together, started, drained and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from rangeland import __version__
from rangeland.api.app import make_app
from rangeland.api.services import Services
from rangeland.auth import Auth
from rangeland.client import Client
from rangeland.cluster import Cluster, EventLog, Forwarding
from rangeland.cluster.peer_token import PeerTokens
from rangeland.collect.nodes import NodeFacts
from rangeland.config import DRAIN_TIMEOUT_S, joined
from rangeland.console import STATIC, Console
from rangeland.errors import RangelandError, ServerDownError, TlsError
from rangeland.node.account import collect_account
from rangeland.node.answers import make_answers
from rangeland.node.collectors import Collectors
from rangeland.node.http import HttpServer
from rangeland.node.membership import Membership
from rangeland.node.settings import NodeSettings
from rangeland.node.watch import Watch
from rangeland.pg import Server
from rangeland.pg.server import require_usable
from rangeland.tls import NodeMaterial, client_context, read_cluster_keys, read_node_material
from rangeland.wire.parts import NodeAccount
from rangeland.wire.problems import Unchecked

START_TIMEOUT_S = 3.0
LAST_EVENTS_S = 1.0  # a node that stops has its events written down if the primary's node is quick
LAST_TASKS_S = 2.0  # each ends when cancelled; one that does not must not keep the process
NO_KEYS = (b"insecure",)  # stand for the cluster key where nothing is protected

log = structlog.get_logger()


class Node:
    """`run` serves until SIGTERM or SIGINT."""

    def __init__(self, settings: NodeSettings, *, keys: Sequence[bytes], tls: NodeMaterial | None) -> None:
        self._settings = settings
        self._stop = asyncio.Event()
        self._draining = False
        self._client = Client(None if settings.insecure else client_context(settings.certs_dir))
        self._tokens = PeerTokens(keys)
        self._server = Server(settings.server_url)
        self._cluster = Cluster(
            client=self._client,
            tokens=self._tokens,
            server=self._server,
            http_addr=settings.http_addr,
            sql_addr=settings.sql_addr,
            scheme=settings.scheme,
        )
        self._events = EventLog(self._cluster)
        self._watch = Watch(server=self._server, cluster=self._cluster, events=self._events)
        self._auth = Auth(
            self._server,
            self._cluster,
            self._events,
            keys=keys or NO_KEYS,
            login_url=settings.login_url,
            lifetime_s=settings.web_session_timeout_s,
        )
        self._cluster.on_return = self._auth.tell_returned
        facts = _facts(settings)
        self._collectors = Collectors(
            server=self._server,
            cluster=self._cluster,
            events=self._events,
            facts=facts,
            draining=lambda: self._draining,
            account=self._account,
            patroni_url=settings.patroni_url,
            check_cpu_percent=settings.check_cpu_percent,
        )
        self._membership = Membership(
            server=self._server,
            cluster=self._cluster,
            auth=self._auth,
            events=self._events,
            keys=keys or NO_KEYS,
            join=settings.join,
            started_at_ns=facts.started_at_ns,
            status=self._collectors.own_status,
        )
        self._cluster.on_recommission = self._membership.doubt_sessions
        self._services = Services(
            cluster=self._cluster,
            auth=self._auth,
            forwarding=Forwarding(self._cluster, self._client, self._tokens, scheme=settings.scheme),
            unready=self._unready,
            verify_peer=lambda token, path: self._tokens.verify(token, path, now_s=time.time()),
            require_known=self._membership.require_known,
            is_draining=lambda: self._draining,
            role_header=self._role_header,
            insecure=settings.insecure,
            limits=settings.limits,
            trusted_proxy=settings.trusted_proxy,
            now_ns=time.time_ns,
        )
        self._cluster.answers = make_answers(
            server=self._server,
            services=self._services,
            collectors=self._collectors,
            membership=self._membership,
            watch=self._watch,
            drain=self._begin_to_drain,
        )
        app = make_app(self._services, beside=Console(STATIC))
        self._http = HttpServer(app, host=settings.http_host, port=settings.http_port, tls=tls)

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
            asyncio.create_task(self._membership.run_greetings()),
            asyncio.create_task(self._membership.run_doubts()),
            asyncio.create_task(self._auth.revocations.run()),
            asyncio.create_task(self._as_member(self._collectors.run)),
            asyncio.create_task(self._as_member(self._events.run)),
            asyncio.create_task(self._as_member(self._watch.run)),
            asyncio.create_task(self._auth.failed_logins.run()),
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
        _, late = await asyncio.wait(tasks, timeout=LAST_TASKS_S)
        for task in late:
            log.warning("a part of this node did not end at once", part=getattr(task.get_coro(), "__qualname__", ""))
            task.cancel()
        await self._tell_last_events()
        if failures:
            raise RangelandError(f"a part of this node failed: {failures[0]}")

    async def _as_member(self, run: Callable[[], Awaitable[None]]) -> None:
        """What asks the primary's node for something, such as the numbers of databases, wants a member's id."""
        await self._membership.registered.wait()
        await run()

    async def _tell_last_events(self) -> None:
        await self._auth.failed_logins.tell()
        await self._events.flush(deadline=asyncio.get_running_loop().time() + LAST_EVENTS_S)

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
        loop.add_signal_handler(signal.SIGHUP, lambda: loop.create_task(self._renew_secrets()))

    def _ignore_signals(self) -> None:
        """A second SIGTERM, while the loop is being closed, must not turn a clean end into a killed process."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)

    async def _renew_secrets(self) -> None:
        """SIGHUP: take the certificates and the cluster key that are on disk now; bad ones leave the old in use."""
        if self._settings.insecure:
            return
        try:
            tls = read_node_material(self._settings.certs_dir) if self._settings.serves_tls else None
            context = client_context(self._settings.certs_dir)
            keys = read_cluster_keys(self._settings.certs_dir)
        except TlsError as exc:
            log.error("the new certificates or the new cluster key are not usable; the old stay", cause=str(exc))
            return
        self._tokens.use(keys)
        self._auth.grants.use(keys)
        self._membership.use(keys)
        self._client.use_tls(context)
        if tls is not None and await self._http.renew(tls):
            log.info("certificates renewed", not_after=tls.not_after.isoformat())
        log.info("cluster key read again", keys=len(keys))

    def _server_changed(self) -> None:
        down = self._server.down
        if down is None:
            log.info("server is up", role=self._server.role.value, version=self._server.version)
            if self._server.warning:
                log.warning(self._server.warning)
        else:
            log.warning("server is down", cause=down.reason)
        self._membership.changed()
        self._watch.server_changed()

    def _begin_to_drain(self, shut_down: bool) -> None:
        """Load balancers see it at once; who asks all the same is answered."""
        self._draining = True
        log.info("draining", then_ends=shut_down)
        if shut_down:
            self._stop.set()

    def _unready(self) -> str | None:
        if self._draining:
            return "draining"
        if self._cluster.node_id and not self._cluster.is_member():
            node_id = self._cluster.node_id
            return f"node {node_id} was decommissioned; 'rangeland node recommission {node_id}' takes it back"
        if self._server.down is not None:
            return f"the server is down: {self._server.down.reason}"
        return self._membership.trouble or self._membership.doubt()

    async def _account(self) -> tuple[NodeAccount, list[Unchecked]]:
        certs_dir = None if self._settings.insecure else self._settings.certs_dir
        return await collect_account(self._cluster, self._membership, certs_dir, self._http.tls)

    def _role_header(self) -> str:
        """A server without this node's row may follow another primary than the cluster's: it claims nothing."""
        if self._server.down is not None or not self._cluster.registered_at_us:
            return "unknown;0"
        return f"{self._server.role.value};{self._server.timeline}"


def make_node(settings: NodeSettings) -> Node:
    """Read keys and certificates, then build the node; must be called inside the event loop.

    Raises: TlsError, SettingError.
    """
    tls = read_node_material(settings.certs_dir) if settings.serves_tls else None
    keys = () if settings.insecure else read_cluster_keys(settings.certs_dir)
    return Node(settings, keys=keys, tls=tls)


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
