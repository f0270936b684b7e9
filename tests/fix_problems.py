"""A cluster of a module's own to make ill, and what its nodes say is wrong with it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from fix_cluster import Api, apis_of, log_in, running_cluster, session_url, wait_until
from rangeland.engine.cluster import Cluster
from rangeland.engine.server import PostgresServer

FOUND_S = 30.0  # readings of a database wait as long as the last visit took, and a busy machine takes its time

Found = dict[str, Any]  # a problem as JSON


@dataclass(frozen=True)
class Clinic:
    """A cluster, and its problems as every node tells them."""

    cluster: Cluster
    apis: list[Api]
    token: str

    def answer(self, node: int = 1, **parameters: object) -> Found:
        """Of that node, whole."""
        found: Found = self.apis[node - 1].get(session_url("problems/", **parameters), self.token).json
        return found

    def problems(self, node: int = 1) -> list[Found]:
        problems: list[Found] = self.answer(node)["problems"]
        return problems

    def server(self, node: int = 1) -> PostgresServer:
        """The one that node stands beside."""
        return self.cluster.servers[node - 1]

    def sql(self, *statements: str, node: int = 1, dbname: str = "postgres") -> None:
        """Run each as the superuser, in a transaction of its own."""
        with psycopg.connect(self.server(node).conninfo(dbname), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    @contextmanager
    def reconfigured(self, node: int, **settings: str) -> Iterator[None]:
        """That server has these settings, as far as they need no restart, while the block runs."""
        file = self.server(node).data_dir / "postgresql.conf"
        kept = file.read_text("utf-8")
        self.server(node).configure(**settings)
        try:
            yield
        finally:
            file.write_text(kept, "utf-8")
            self.server(node).configure()

    def restart_servers(self, **settings: str | int) -> None:
        """Restart every server with these settings; returns when every node answers again."""
        for server in self.cluster.servers:
            server.configure(**settings)
            server.restart()
        wait_until(
            lambda: all(api.get("problems/", self.token).status == 200 for api in self.apis), "every node answers"
        )

    def only(self, kind: str, *, node: int = 1) -> Found:
        """Wait until the cluster has this problem and no other, by that node's account."""
        last: list[Found] = []

        def is_alone() -> bool:
            last[:] = self.problems(node)
            return [each["kind"] for each in last] == [kind]

        try:
            wait_until(is_alone, f"the only problem is {kind}", timeout_s=FOUND_S, poll_s=0.1)
        except AssertionError as exc:
            raise AssertionError(f"{exc}; there are {last}") from exc
        return last[0]

    def wait_for_severity(self, kind: str, severity: str) -> Found:
        """Wait until it is the only problem, and that severe."""

        def is_so() -> bool:
            return bool(self.only(kind)["severity"] == severity)

        wait_until(is_so, f"{kind} is {severity}", timeout_s=FOUND_S, poll_s=0.1)
        return self.only(kind)

    def require_looked_again(self) -> None:
        """Wait until each database was visited once more: what was made a moment ago would be known."""
        name = "probe_of_visits"
        self.sql(f"CREATE TABLE {name} (a int, b text)", f"CREATE INDEX {name}_index ON {name} (a)")
        self.sql(f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{name}_index'::regclass")
        try:
            wait_until(
                lambda: any(name in each.get("object", "") for each in self.problems()),
                "the databases were visited again",
                timeout_s=FOUND_S,
                poll_s=0.1,
            )
        finally:
            self.sql(f"DROP TABLE {name}")

    def require_well(self) -> None:
        """Wait until no node tells of any problem, nor of one that it could not look for."""
        last: list[Found] = []

        def is_well() -> bool:
            last[:] = [self.answer(node) for node in range(1, len(self.apis) + 1)]
            return not any(each["problems"] or each["unchecked"] or each["errors"] for each in last)

        try:
            wait_until(is_well, "the cluster is well", timeout_s=FOUND_S, poll_s=0.1)
        except AssertionError as exc:
            raise AssertionError(f"{exc}; there are {last}") from exc

    def follow(self, problem: Found) -> list[tuple[Any, ...]]:
        """Do what the problem suggests, where it suggests it; what its SQL returned."""
        node = problem.get("run_on_node_id") or problem.get("node_id") or 1
        if "shell" in problem:
            subprocess.run(["bash", "-euc", problem["shell"]], check=True, timeout=30)
        if "sql" not in problem:
            return []
        dbname = problem.get("database") or "postgres"
        with psycopg.connect(self.server(node).conninfo(dbname), autocommit=True) as connection:
            cursor = connection.execute(problem["sql"].encode())
            return cursor.fetchall() if cursor.description else []


@contextmanager
def clinic(
    nodes: int = 3,
    *,
    limits: Mapping[str, float] | None = None,
    major: int | None = None,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Clinic]:
    """A new cluster, of PostgreSQL `major`, whose nodes all have these limits, and these settings beside them."""
    given = ",".join(f"{name}={number}" for name, number in (limits or {}).items())
    more = {"check_cpu_percent": "100", **(settings or {}), **({"limits": given} if given else {})}
    with running_cluster(nodes, node_settings=more, major=major) as cluster:
        apis = apis_of(cluster)
        yield Clinic(cluster, apis, log_in(cluster, apis[0], cluster.username))
