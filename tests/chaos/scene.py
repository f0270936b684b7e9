"""The cluster under chaos: how each part is broken and made whole, and the knowledge of it kept true."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from functools import partial
from math import inf
from pathlib import Path

import psycopg

from chaos.clients import Crowd, facts_at_begin
from chaos.knowledge import GONE_S, MEMBER_S, NODE_BACK_S, PROMOTED_S, SERVER_BACK_S, Knowledge
from chaos.tokens import Tokens
from fix_cluster import Api, apis_of, log_in, wait_until
from fix_engine import wait_for_replay
from rangeland.cli.asking import ask_node
from rangeland.cluster import questions as q
from rangeland.engine.cluster import HOSTS, Cluster
from rangeland.engine.node import NodeProcess
from rangeland.engine.server import PostgresServer
from rangeland.errors import RangelandError
from rangeland.tls import create_node
from rangeland.wire.members import DrainParams, MembershipChange

INSIDE = Path(__file__).parent / "inside"
TASKS = "CHAOS_TASKS"  # where a node writes how many it has
MARKERS = 3  # sessions that the harness keeps open at each server
STREAMS_S = 8.0  # for a standby to follow another primary; then it is copied anew
LOGIN_AFTER_PROMOTION_S = 2.0
HANGS_S = 10.0  # within this it was asked, and is known to be silent
MARKER_SURE_S = 0.5


class CountingNode(NodeProcess):
    """A node that tells how many asyncio tasks it has: see inside/sitecustomize.py."""

    def count_tasks(self) -> int:
        tasks = Path(self.env[TASKS])
        tasks.unlink(missing_ok=True)
        os.kill(self.pid, signal.SIGUSR2)
        wait_until(tasks.exists, f"{self.name} counts its tasks")
        return int(tasks.read_text("utf-8"))


class ChaosCluster(Cluster):
    """A throw-away cluster of such nodes."""

    def _describe_node(self, number: int) -> NodeProcess:
        node = super()._describe_node(number)
        node.__class__ = CountingNode
        node.env = {"PYTHONPATH": str(INSIDE), TASKS: str(node.home / "tasks"), "PYTHONDONTWRITEBYTECODE": "1"}
        return node


class Scene:
    """`break_…` and `restore_…` by number from 0; each returns when it is done, with the knowledge of it kept."""

    def __init__(self, cluster: Cluster, log: Path, *, clients: int, seed: int) -> None:
        self.cluster = cluster
        self.count = len(cluster.nodes)
        self.apis: list[Api] = apis_of(cluster)
        self.knowledge = Knowledge(log)
        self.tokens = Tokens()
        self.promotions: list[float] = []  # how long a login took after each, s
        self._marker_connections: list[list[psycopg.Connection]] = [[] for _ in cluster.nodes]
        self._made_markers = 0
        for (what, number), value in facts_at_begin(self.count).items():
            self.knowledge.learn(what, number, value, sure_after_s=0.0)
        cluster.servers[0].create_role("marker")
        for standby in cluster.servers[1:]:
            wait_for_replay(cluster.servers[0], standby)
        for number in range(self.count):
            self.open_markers(number)
        self.whole_token = token = log_in(cluster, self.apis[0], cluster.username)  # never logged out
        accounts = _range_of_accounts(self.apis[0], token)
        self.crowd = Crowd(cluster, self.apis, self.knowledge, self.tokens, accounts, clients=clients, seed=seed)
        self.make_tokens(8)

    def close(self) -> None:
        self.crowd.stop()
        for number in range(self.count):
            self.close_markers(number)
        self.knowledge.close()

    @property
    def primary(self) -> int:
        return int(self.knowledge.facts()["primary", 0].value)

    def server(self, number: int) -> PostgresServer:
        return self.cluster.servers[number]

    # nodes

    def kill_node(self, number: int) -> None:
        self.knowledge.doubt("node", number)
        self.cluster.nodes[number].kill()
        self.knowledge.learn("node", number, "down", sure_after_s=GONE_S)

    def stop_node(self, number: int) -> None:
        self.knowledge.doubt("node", number)
        status = self.cluster.nodes[number].stop()
        if status != 0:
            self.crowd.complain([f"node {number + 1} ended with status {status}"], "SIGTERM")
        self.knowledge.learn("node", number, "down", sure_after_s=GONE_S)

    def start_node(self, number: int) -> None:
        """Also after a drain, which ends with the process."""
        self.knowledge.doubt("node", number)
        node = self.cluster.nodes[number]
        node.start()
        node.wait_until_serving()
        self.knowledge.learn("draining", number, False, sure_after_s=0.0)
        self.knowledge.learn("node", number, "up", sure_after_s=NODE_BACK_S)

    def pause_node(self, number: int) -> None:
        self.knowledge.doubt("node", number)
        self.cluster.nodes[number].pause()
        self.knowledge.learn("node", number, "down", sure_after_s=GONE_S)

    def resume_node(self, number: int) -> None:
        self.knowledge.doubt("node", number)
        self.crowd.resumed_at[number] = inf
        self.cluster.nodes[number].resume()
        self.crowd.resumed_at[number] = time.monotonic()
        self.knowledge.learn("node", number, "up", sure_after_s=NODE_BACK_S)

    def drain_node(self, number: int) -> None:
        self.knowledge.doubt("draining", number)
        node_id = self.cluster.nodes[number].node_id
        ask_node(self._command(number), q.DRAIN, DrainParams(node_id=node_id))
        self.knowledge.learn("draining", number, True, sure_after_s=GONE_S)

    def change_membership(self, number: int, *, is_member: bool) -> None:
        """Raises: an error of ours where the primary can't be reached."""
        self.knowledge.doubt("member", number)
        params = MembershipChange(
            node_ids=[self.cluster.nodes[number].node_id],
            membership="active" if is_member else "decommissioned",
        )
        try:
            ask_node(self._command(self.primary), q.CHANGE_MEMBERSHIP, params)
        except RangelandError:
            self.knowledge.learn("member", number, not is_member, sure_after_s=MEMBER_S)
            raise
        self.knowledge.learn("member", number, is_member, sure_after_s=MEMBER_S)

    def renew_certificate(self, number: int) -> None:
        node = self.cluster.nodes[number]
        assert node.certs_dir is not None
        before = node.log.read_text("utf-8").count("cluster key read again")
        create_node(node.certs_dir, self.cluster.workplace.path / "certs" / "ca.key", HOSTS, overwrite=True)
        os.kill(node.pid, signal.SIGHUP)
        wait_until(
            lambda: node.log.read_text("utf-8").count("cluster key read again") > before,
            f"{node.name} has its new certificate",
        )

    # servers

    def kill_server(self, number: int) -> None:
        self.knowledge.doubt("server", number)
        self.server(number).kill()
        self.close_markers(number)
        self.knowledge.learn("server", number, "down", sure_after_s=GONE_S)

    def stop_server(self, number: int) -> None:
        self.knowledge.doubt("server", number)
        self.server(number).stop()
        self.close_markers(number)
        self.knowledge.learn("server", number, "down", sure_after_s=GONE_S)

    def pause_server(self, number: int) -> None:
        self.knowledge.doubt("server", number)
        self.server(number).pause()
        self.knowledge.learn("server", number, "down", sure_after_s=GONE_S)

    def resume_server(self, number: int) -> None:
        self.knowledge.doubt("server", number)
        self.server(number).resume()
        self.knowledge.learn("server", number, "up", sure_after_s=SERVER_BACK_S)

    def start_server(self, number: int) -> None:
        """As primary or standby, as it was."""
        self.knowledge.doubt("server", number)
        self.server(number).start()
        self.open_markers(number)
        self.knowledge.learn("server", number, "up", sure_after_s=SERVER_BACK_S)

    def pause_replay(self, number: int) -> None:
        self.knowledge.doubt("replay", number)
        self.execute(number, "SELECT pg_wal_replay_pause()")
        self.knowledge.learn("replay", number, "paused", sure_after_s=GONE_S)

    def resume_replay(self, number: int) -> None:
        self.knowledge.doubt("replay", number)
        self.execute(number, "SELECT pg_wal_replay_resume()")
        self.knowledge.learn("replay", number, "running", sure_after_s=MEMBER_S)

    # a failover

    def fail_over(self, *, after_s: float) -> int:
        """Kill the primary, promote the standby that has most, let the others follow it; the old primary's number."""
        old = self.primary
        self.knowledge.doubt("primary")
        self.kill_server(old)
        time.sleep(after_s)
        standbys = [number for number in range(self.count) if number != old]
        new = max(standbys, key=self._received)
        self.knowledge.tell(f"promote server {new + 1}")
        self.server(new).promote()
        promoted_at = time.monotonic()
        self.knowledge.learn("primary", 0, new, sure_after_s=PROMOTED_S)
        self._require_login(new, promoted_at)
        for number in standbys:
            if number != new:
                self._let_follow(number, new)
        return old

    def clone(self, number: int) -> None:
        """Make the data directory of a server anew from the primary, and start it as a standby."""
        self.knowledge.doubt("server", number)
        self.close_markers(number)
        server, primary = self.server(number), self.server(self.primary)
        server.remove()
        with suppress(psycopg.errors.UndefinedObject):
            self.execute(self.primary, f"SELECT pg_drop_replication_slot('{server.name}')")
        server.become_standby(primary)
        self.open_markers(number)
        self.knowledge.learn("server", number, "up", sure_after_s=SERVER_BACK_S)

    def start_unfenced(self, number: int) -> None:
        """Let an old primary come back as it was: two servers take writes, this one on the lower timeline."""
        self.knowledge.doubt("server", number)
        self.server(number).start()

    def _require_login(self, primary: int, promoted_at: float) -> None:
        """Where the new primary's node lives, somebody who asks a sound node can log in within 2 s.

        Not where a node has only just begun to hang: the first question to it may take as long as any.
        """
        facts = self.knowledge.facts()
        now = time.monotonic()
        sound = [
            number
            for number in range(self.count)
            if (fact := facts["node", number]).value == "up" and fact.sure_at < now and facts["member", number].value
        ]
        has_just_gone = any(
            facts["node", number].value != "up" and facts["node", number].since > promoted_at - HANGS_S
            for number in range(self.count)
        )
        if primary not in sound or has_just_gone:
            return
        asked = random.Random(int(promoted_at)).choice(sound)
        while self.apis[asked].log_in(self.cluster.username, self.cluster.password).status != 200:
            if time.monotonic() > promoted_at + 15:
                break
            time.sleep(0.05)
        took_s = time.monotonic() - promoted_at
        waited_s = self.crowd.delays.between(promoted_at, time.monotonic(), asked)
        self.promotions.append(took_s)
        self.knowledge.tell(f"a login at node {asked + 1} works {took_s:.2f} s after the promotion")
        if took_s - waited_s > LOGIN_AFTER_PROMOTION_S:
            self.crowd.complain([f"no login within {LOGIN_AFTER_PROMOTION_S} s"], f"{took_s:.2f} s after a promotion")

    def _let_follow(self, number: int, primary: int) -> None:
        server = self.server(number)
        with suppress(psycopg.errors.DuplicateObject):
            self.execute(primary, f"SELECT pg_create_physical_replication_slot('{server.name}')")
        server.follow(self.server(primary))
        server.signal(signal.SIGHUP)
        try:
            wait_until(partial(self._streams, number, primary), "it follows", timeout_s=STREAMS_S, poll_s=0.1)
        except AssertionError:
            self.knowledge.tell(f"server {number + 1} can't follow: copied anew")
            self.clone(number)

    def _received(self, number: int) -> int:
        query = "SELECT (greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - '0/0'::pg_lsn)::int8"
        return int(str(self.execute(number, query)))

    def _streams(self, number: int, primary: int) -> bool:
        query = "SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming' AND sender_port = %s"
        return self.execute(number, query, self.server(primary).port) == 1

    # sessions of the harness

    def execute(self, number: int, statement: str, *params: object) -> object:
        """The first column of the first row of a statement of the superuser."""
        with psycopg.connect(self.server(number).conninfo(), autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement.encode(), params)
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None

    def open_markers(self, number: int) -> None:
        self.knowledge.doubt("markers", number)
        names = []
        for _ in range(MARKERS):
            self._made_markers += 1
            names.append(f"marker {number + 1} {self._made_markers}")
            conninfo = self.server(number).conninfo(user="marker")
            connection = psycopg.connect(conninfo, application_name=names[-1], autocommit=True)
            self._marker_connections[number].append(connection)
        self.knowledge.learn("markers", number, frozenset(names), sure_after_s=MARKER_SURE_S)

    def close_markers(self, number: int) -> None:
        self.knowledge.doubt("markers", number)
        for connection in self._marker_connections[number]:
            with suppress(psycopg.Error):
                connection.close()
        self._marker_connections[number].clear()

    def make_tokens(self, count: int) -> None:
        """And let every server know of all that there are; all is whole."""
        for number in range(count):
            self.tokens.add(log_in(self.cluster, self.apis[number % self.count], self.cluster.username))
        for number in range(self.count):
            if number != self.primary:
                wait_for_replay(self.server(self.primary), self.server(number), timeout_s=20)
        self.tokens.grow_old()

    def _command(self, number: int) -> dict[str, object]:
        node = self.cluster.nodes[number]
        return {"node_url": node.url, "certs_dir": str(node.certs_dir), "insecure": False}


class Hog:
    """All connections that a server gives to who is no superuser."""

    def __init__(self, server: PostgresServer) -> None:
        self._connections: list[psycopg.Connection] = []
        with suppress(psycopg.OperationalError):
            while True:
                self._connections.append(psycopg.connect(server.conninfo(user="marker"), application_name="hog"))

    def leave(self) -> None:
        for connection in self._connections:
            with suppress(psycopg.Error):
                connection.close()


class Holder:
    """An AccessExclusiveLock on the busiest table."""

    def __init__(self, server: PostgresServer) -> None:
        self._connection = psycopg.connect(server.conninfo("pgbench"), application_name="holder")
        self._connection.execute("SET lock_timeout = '3s'")
        with suppress(psycopg.errors.LockNotAvailable):
            self._connection.execute("LOCK TABLE pgbench_accounts IN ACCESS EXCLUSIVE MODE")

    def leave(self) -> None:
        with suppress(psycopg.Error):
            self._connection.close()


def _range_of_accounts(api: Api, token: str) -> int:
    found: list[int] = []

    def is_shown() -> bool:
        shown = api.get("ranges/hot/", token).json["ranges"]
        found[:] = [each["range_id"] for each in shown if each.get("table_name") == "pgbench_accounts"]
        return bool(found)

    wait_until(is_shown, "pgbench_accounts is hot", timeout_s=30, poll_s=0.3)
    return found[0]
