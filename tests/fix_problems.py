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

FOUND_S = 15.0  # a database is visited again when a hundred times as long has passed as its last visit took

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
def clinic(nodes: int = 3, *, limits: Mapping[str, float] | None = None) -> Iterator[Clinic]:
    """A new cluster whose nodes all have these limits."""
    given = ",".join(f"{name}={number}" for name, number in (limits or {}).items())
    with running_cluster(nodes, node_settings={"limits": given} if given else {}) as cluster:
        apis = apis_of(cluster)
        yield Clinic(cluster, apis, log_in(cluster, apis[0], cluster.username))
