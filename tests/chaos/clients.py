"""Clients that ask all nodes for everything, all the time, and have each answer judged."""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any
from urllib.parse import urlencode

from chaos import verdicts
from chaos.delays import Delays
from chaos.knowledge import Key, Knowledge
from chaos.tokens import Token, Tokens
from chaos.verdicts import Situation
from fix_cluster import ANSWER_S, FORM, Api, Reply, session_url
from rangeland.engine.cluster import Cluster

PATIENCE_S = ANSWER_S + 5.0  # then the harness gives up; a request of more than ANSWER_S is wrong before
PROBE_S = 1.0  # for a node of which it isn't known whether it answers
DEAF_S = 2.0  # a node that was stopped may trust what it knew for a second, and looks at its clock each second
PACE_S = 0.08  # of one client between two requests
KEPT_TOKENS = 8
KINDS = {
    "sessions": 10,
    "walk": 5,
    "nodes": 10,
    "hot": 4,
    "range": 6,
    "node ranges": 4,
    "passed on": 5,
    "health": 2,
    "ready": 4,
    "users": 2,
    "databases": 2,
    "tables": 2,
    "table": 2,
    "events": 2,
    "metrics": 1,
    "rules": 1,
    "safety": 1,
    "problems": 1,
    "history": 1,
    "hot history": 1,
    "whoami": 1,
    "ended": 10,
    "login": 4,
    "logout": 4,
    "wrong password": 1,
}


@dataclass
class Figures:
    """What the clients did and saw. Only added to."""

    requests: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    unanswered: int = 0  # by a node that was, or may have been, down
    worst_s: float = 0.0  # of a node that was neither stopped nor ended meanwhile
    worst_allowed_s: float = 0.0  # how much longer the slowest ones may have taken, as the machine was busy
    refused_ended: int = 0
    violations: list[str] = field(default_factory=list)


class Crowd:
    """The clients, each a thread; `rest` makes them close their connections and wait."""

    def __init__(
        self,
        cluster: Cluster,
        apis: list[Api],
        knowledge: Knowledge,
        tokens: Tokens,
        range_id: int,
        *,
        clients: int,
        seed: int,
    ) -> None:
        self.cluster = cluster
        self.apis = apis
        self.knowledge = knowledge
        self.tokens = tokens
        self.range_id = range_id
        self.figures = Figures()
        self.delays = Delays(cluster.nodes)
        self.resumed_at = [-inf] * len(apis)  # when a node was last let go on after it was stopped
        self.node_ids = [node.node_id for node in cluster.nodes]
        self._lock = threading.Lock()
        self._work = threading.Event()
        self._over = threading.Event()
        self._resting = threading.Semaphore(0)
        self._clients = [Client(self, random.Random(f"{seed} {number}"), number) for number in range(clients)]
        self._threads = [threading.Thread(target=each.run, name=f"client {each.number}") for each in self._clients]
        for thread in self._threads:
            thread.start()

    def go_on(self) -> None:
        self._work.set()

    def rest(self) -> None:
        """Returns once no request is open."""
        self._work.clear()
        for _ in self._threads:
            self._resting.acquire()

    def stop(self) -> None:
        self._over.set()
        self._work.set()
        for thread in self._threads:
            thread.join()
        self.delays.stop()

    def may_work(self, close: Callable[[], None]) -> bool:
        """Wait while all rest; False at the end."""
        if not self._work.is_set():
            close()
            self._resting.release()
            self._work.wait()
        return not self._over.is_set()

    def complain(self, complaints: Iterable[str], request: str) -> None:
        for complaint in complaints:
            self.knowledge.tell(f"VIOLATION {complaint}; {request}")
            with self._lock:
                self.figures.violations.append(f"{complaint}\n  {request}")

    def count(self, kind: str, reply: Reply | None, allowed_s: float, *, was_up: bool) -> None:
        with self._lock:
            self.figures.requests[kind] += 1
            if reply is None:
                self.figures.unanswered += 1
                return
            self.figures.statuses[reply.status] += 1
            if was_up and reply.elapsed_s > self.figures.worst_s:
                self.figures.worst_s = reply.elapsed_s
                self.figures.worst_allowed_s = allowed_s
            if kind == "ended" and reply.status == 401:
                self.figures.refused_ended += 1


class Client:
    """One thread: a kept connection to each node, and now and then one of its own for a request."""

    def __init__(self, crowd: Crowd, rng: random.Random, number: int) -> None:
        self.number = number
        self._crowd = crowd
        self._rng = rng
        self._kept: dict[int, http.client.HTTPConnection] = {}
        self._strangers = 0

    def run(self) -> None:
        while self._crowd.may_work(self._close):
            [kind] = self._rng.choices(list(KINDS), weights=list(KINDS.values()))
            try:
                self._ask_kind(kind)
            except Exception as exc:  # noqa: BLE001  # a bug of the harness must not look like a quiet client
                self._crowd.complain([f"the harness failed: {exc!r}"], kind)
            time.sleep(self._rng.uniform(0.5, 1.5) * PACE_S)
        self._close()

    # what is asked

    def _ask_kind(self, kind: str) -> None:
        asked = self._choose_node()
        match kind:
            case "login":
                self._log_in(asked)
            case "wrong password":
                self._log_in_wrongly(asked)
            case "logout":
                self._log_out(asked)
            case "walk":
                self._walk(asked)
            case _:
                self._read(kind, asked)

    def _choose_node(self) -> int:
        """Mostly one that may answer: the others cost a client its time."""
        facts = self._crowd.knowledge.facts()
        numbers = range(len(self._crowd.apis))
        up = [number for number in numbers if facts["node", number].value == "up"]
        return self._rng.choice(up if up and self._rng.random() < 0.95 else list(numbers))

    def _read(self, kind: str, asked: int) -> None:
        token = self._token_for(kind)
        if token is None:
            return
        other = self._rng.randrange(len(self._crowd.apis))
        path = self._path(kind, other)
        reply, at = self._request(kind, asked, "GET", path, token=token)
        if reply is None:
            return
        line = f"{path} at node {asked + 1}: {reply.status} after {reply.elapsed_s:.2f} s: {reply.body[:1500]!r}"
        self._crowd.complain(self._complaints(kind, reply, at, other), line)

    def _token_for(self, kind: str) -> Token | None:
        """Of a request that is passed on two nodes judge the token: only one that both must know."""
        tokens = self._crowd.tokens
        match kind:
            case "ended":
                return tokens.ended(self._rng)
            case "passed on":
                return tokens.old(self._rng)
        return tokens.live(self._rng)

    def _complaints(self, kind: str, reply: Reply, at: Situation, other: int) -> Iterable[str]:
        if kind == "ended" or reply.status == 401:
            return  # the token's verdict is in
        allowed = verdicts.statuses_of(kind, at)
        if kind == "node ranges" and at.view.is_alive(other) is not True:
            allowed = {500} if at.view.is_alive(other) is False else {200, 500}
        if kind == "passed on":
            allowed, at = verdicts.statuses_passed_on(at, other), replace(at, asked=other)
        if reply.status not in allowed:
            yield f"{kind} may be answered with {sorted(allowed)}"
        if reply.status != 200:
            return
        match kind:
            case "nodes" | "passed on":
                yield from verdicts.require_nodes(reply.json, at)
            case "sessions":
                yield from verdicts.require_sessions(reply.json, at)
            case "hot":
                yield from verdicts.require_hot(reply.json, at)
            case "range":
                yield from verdicts.require_range(reply.json, at, self._crowd.range_id)
            case "node ranges":
                if not 1 <= len(reply.json["ranges"]) <= 5:
                    yield f"{len(reply.json['ranges'])} ranges on a page of 5"
            case "users":
                if "demo" not in {each["username"] for each in reply.json["users"]}:
                    yield "a user is missing"
            case "databases":
                if "pgbench" not in reply.json["databases"]:
                    yield "a database is missing"
            case "tables":
                if "public.pgbench_accounts" not in reply.json["table_names"]:
                    yield "a table is missing"

    def _path(self, kind: str, other: int) -> str:
        fixed = {
            "health": "health/",
            "ready": "health/?ready=true",
            "users": "users/",
            "databases": "databases/",
            "tables": "databases/pgbench/tables/",
            "table": "databases/pgbench/tables/public.pgbench_tellers/",
            "events": "events/?limit=20",
            "metrics": "/metrics",
            "rules": "rules/",
            "safety": "health/restart_safety/",
            "problems": "problems/",
            "history": "history/",
            "hot history": "ranges/hot/history/",
            "whoami": "whoami/",
            "range": f"ranges/{self._crowd.range_id}/",
            "node ranges": f"nodes/{self._crowd.node_ids[other]}/ranges/?limit=5",
            "passed on": f"nodes/?remote_node_id={self._crowd.node_ids[other]}",
            "hot": self._rng.choice(("ranges/hot/", "ranges/hot/?limit=1000")),
            "nodes": self._rng.choice(("nodes/", "nodes/", "nodes/?limit=100", "nodes/?offset=0&limit=50")),
        }
        if kind == "ended":
            return self._rng.choice(("nodes/", "sessions/?username=marker", "health/?x=1&ready=0", "users/"))
        if kind == "sessions":
            more = {"username": "marker"} if self._rng.random() < 0.8 else {}
            return session_url("sessions/", **more, exclude_closed_sessions=self._rng.choice(("true", "false")))
        return fixed[kind]

    def _walk(self, asked: int) -> None:
        """Through the pages of the markers' sessions, each page at this node."""
        token = self._crowd.tokens.live(self._rng)
        before, begun = self._crowd.knowledge.facts(), time.monotonic()
        pages: list[Any] = []
        start = ""
        limit = self._rng.randrange(2, 8)
        while len(pages) < 60:
            more = {"start": start} if start else {}
            path = session_url("sessions/", username="marker", limit=limit, exclude_closed_sessions="true", **more)
            reply, at = self._request("page", asked, "GET", path, token=token)
            if reply is None:
                return
            line = f"{path} at node {asked + 1}: {reply.status} after {reply.elapsed_s:.2f} s: {reply.body[:800]!r}"
            self._crowd.complain(self._complaints("page", reply, at, asked), line)
            if reply.status != 200:
                return
            pages.append(reply.json)
            start = reply.json["next"]
            if len(reply.json["sessions"]) < limit:
                break
        whole = Situation(self._crowd.knowledge.view(before, begun), asked, self._crowd.node_ids)
        self._crowd.complain(
            verdicts.require_walk(pages, whole), f"{len(pages)} pages of {limit} at node {asked + 1}"
        )

    # logging in and out

    def _log_in(self, asked: int) -> None:
        if self._crowd.tokens.count()[0] >= 3 * KEPT_TOKENS:
            return
        form = {"username": self._crowd.cluster.username, "password": self._crowd.cluster.password}
        reply, at = self._request("login", asked, "POST", "login/", form=form)
        if reply is None:
            return
        line = f"login at node {asked + 1}: {reply.status} after {reply.elapsed_s:.2f} s: {reply.text.strip()!r}"
        self._crowd.complain(verdicts.require_login(reply, at), line)
        if reply.status == 200:
            self._crowd.tokens.add(reply.json["session"])

    def _log_in_wrongly(self, asked: int) -> None:
        """Each time as somebody else from somewhere else: who fails again has to wait."""
        self._strangers += 1
        form = {"username": f"nobody{self.number}x{self._strangers}", "password": "wrong"}
        client = f"127.{2 + self.number}.{self._strangers // 250 % 250}.{1 + self._strangers % 250}"
        reply, at = self._request("wrong password", asked, "POST", "login/", form=form, client=client)
        if reply is None:
            return
        allowed = {401, 503} if at.is_primary_reached else {401, 500, 503}
        if reply.status not in allowed:
            self._crowd.complain(
                [f"a wrong password is answered with {sorted(allowed)}"], f"{reply.status} {reply.text}"
            )

    def _log_out(self, asked: int) -> None:
        token = self._crowd.tokens.begin_to_end(self._rng, keep=KEPT_TOKENS)
        if token is None:
            return
        reply, at = self._request("logout", asked, "POST", "logout/", token=token)
        if reply is None:
            return
        if reply.status == 200:
            self._crowd.tokens.end(token)
        line = f"logout at node {asked + 1}: {reply.status} after {reply.elapsed_s:.2f} s: {reply.text.strip()!r}"
        able = at.is_anybody_able_to_tell_rights and (token.is_old or at.is_primary_reached)
        if reply.status != 200 and (able or reply.status not in (401, 500)):
            self._crowd.complain([f"a logout is answered with {reply.status}"], line)

    # one request

    def _request(
        self,
        kind: str,
        asked: int,
        method: str,
        path: str,
        *,
        token: Token | None = None,
        form: Mapping[str, str] | None = None,
        client: str | None = None,
    ) -> tuple[Reply | None, Situation]:
        """The answer, or None where a node that may be down gave none; time, token and silence are judged here."""
        crowd = self._crowd
        headers = {"X-Cockroach-API-Session": token.text} if token else {}
        if form is not None:
            headers["Content-Type"] = FORM
        if kind == "sessions" and self._rng.random() < 0.3:
            headers["Accept-Encoding"] = "identity"
        body = urlencode(form) if form is not None else None
        whole = path if path.startswith("/") else f"/api/v2/{path}"
        before, begun = crowd.knowledge.facts(), time.monotonic()
        ended_before = token is not None and token.ended_at <= begun
        is_fresh = method == "POST" or self._rng.random() < 0.25
        patience_s = PATIENCE_S if before["node", asked].value == "up" else PROBE_S
        reply, trouble = self._exchange(asked, method, whole, headers, body, is_fresh, client, patience_s)
        at = Situation(crowd.knowledge.view(before, begun), asked, crowd.node_ids)
        took_s = time.monotonic() - begun
        allowed_s = crowd.delays.between(begun, at.view.ended, asked)
        crowd.count(kind, reply, allowed_s, was_up=at.view.value("node", asked) == "up")
        line = f"{method} {path} at node {asked + 1}, {took_s:.2f} s (of these {allowed_s:.2f} s waited to run)"
        if at.view.value("node", asked) == "up" and took_s - allowed_s > ANSWER_S:
            crowd.complain(["over the limit"], f"{line}: {reply.status if reply else trouble}")
        if reply is None:
            if at.view.known("node", asked) == "up":
                crowd.complain([f"no answer from a node that lives: {trouble}"], line)
            return None, at
        if token is not None and "health" not in path:
            self._judge_token(token, reply, at, ended_before, line)
        return reply, at

    def _judge_token(self, token: Token, reply: Reply, at: Situation, ended_before: bool, line: str) -> None:
        crowd = self._crowd
        was_deaf = at.view.begun < crowd.resumed_at[at.asked] + DEAF_S
        must_be_good = token.ending_at == inf or (token.ended_at == inf and "logout" in line)
        found = list(
            verdicts.require_token_verdict(
                reply,
                at,
                is_old=token.is_old,
                must_be_good=must_be_good,
                must_be_refused=ended_before and not was_deaf,
            )
        )
        if ended_before and found:
            line += f"; logged out {at.view.begun - token.ended_at:.2f} s before"
        crowd.complain(found, line)
        if reply.status == 401 and must_be_good and not found:
            crowd.tokens.lose(token)  # made shortly before the primary died, or while a standby was behind

    def _exchange(
        self,
        asked: int,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: str | None,
        is_fresh: bool,
        client: str | None,
        patience_s: float,
    ) -> tuple[Reply | None, str]:
        """The answer, or why there is none. A kept connection that was closed meanwhile is made anew once."""
        api = self._crowd.apis[asked]
        for _ in range(2):
            kept = None if is_fresh else self._kept.pop(asked, None)
            connection = kept or api.connect(client=client or "127.0.0.1", timeout_s=patience_s)
            if kept is not None and kept.sock is not None:
                kept.sock.settimeout(patience_s)
            begun = time.monotonic()
            try:
                connection.request(method, path, body=body, headers=dict(headers))
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException) as exc:
                connection.close()
                if kept is not None and not isinstance(exc, TimeoutError):
                    continue
                return None, repr(exc)
            lowered = {name.lower(): value for name, value in answer.headers.items()}
            if is_fresh or answer.will_close:
                connection.close()
            else:
                self._kept[asked] = connection
            return Reply(answer.status, lowered, content, time.monotonic() - begun), ""
        raise AssertionError("a second try returns")

    def _close(self) -> None:
        for connection in self._kept.values():
            with suppress(OSError):
                connection.close()
        self._kept.clear()


def facts_at_begin(count: int) -> dict[Key, Any]:
    """All nodes and servers live; the first is the primary."""
    whole: dict[Key, Any] = {("primary", 0): 0}
    for number in range(count):
        whole |= {
            ("node", number): "up",
            ("server", number): "up",
            ("member", number): True,
            ("draining", number): False,
            ("replay", number): "running",
            ("markers", number): frozenset(),
        }
    return whole
