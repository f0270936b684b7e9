"""Fixtures for fuzzing: how many examples, a connection that sends any bytes, what every answer must be, growth.

Without options a property sees the same few examples each time. With `--fuzz-minutes` (`make fuzz`) the properties
share that time: each goes round after round with new examples, and after each round the nodes must not have grown.
"""

from __future__ import annotations

import http.client
import itertools
import json
import random
import re
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

import psutil
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

from fix_cluster import ANSWER_S, CLIENT, Api, Reply, wait_until
from rangeland.engine.cluster import Cluster
from rangeland.engine.node import NodeProcess

T = TypeVar("T")

ROUND_FACTOR = 5  # a round of `make fuzz` has this many times the examples of a test run
SLACK_FDS = 32  # connections between nodes and to the server that are kept: 2 peers, 4 each way, 16 of the server's
SLACK_THREADS = 24  # a pool for compressing and for host names grows to its size and stays
SLACK_RSS = 32 << 20  # caches fill up to their bounds (session places, sizes, throttled names); arenas don't shrink
OWN_REFUSALS = {400, 413, 414, 431, 501, 505}  # of the HTTP server itself, for what never becomes a request
BUG = re.compile(rb"met a bug|Traceback|never retrieved|ERROR asyncio|panicked", re.IGNORECASE)
LEAK = re.compile(
    r"Traceback|File \"|\.py\b|<class |object at 0x|\w(Error|Exception)\b"
    r"|psycopg|msgspec|asyncio|starlette|/home/|/usr/|/tmp/"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("fuzz", "fuzzing with new examples")
    group.addoption(
        "--fuzz-minutes", type=float, default=0.0, help="for all properties together; 0: the fixed examples"
    )
    group.addoption("--fuzz-seed", type=int, default=None, help="of the first round; printed when it was chosen")


@dataclass
class Fuzz:
    """`check` runs a property; `tally` counts the answers of all properties by status (0: closed without one)."""

    seconds_each: float
    seed: int
    tally: Counter[int] = field(default_factory=Counter)
    rounds: int = 0
    examples: int = 0
    documented: int = 0  # requests made of our own document
    growth: list[str] = field(default_factory=list)
    slowest_s: float = 0.0

    def check(
        self, strategy: SearchStrategy[T], holds: Callable[[T], None], *, examples: int, after: Callable[[], None]
    ) -> None:
        """`holds` must not fail for any example; `after` is called at the end of each round."""
        for round_ in self.rounds_of_time():
            self._round(strategy, holds, examples * ROUND_FACTOR if self.seconds_each else examples, round_)
            after()

    def rounds_of_time(self) -> Iterator[int]:
        """0, and on from 1 as long as the time of one property lasts."""
        until = time.monotonic() + self.seconds_each
        for round_ in itertools.count():
            self.rounds += 1
            yield round_
            if time.monotonic() >= until:
                return

    def _round(self, strategy: SearchStrategy[T], holds: Callable[[T], None], examples: int, round_: int) -> None:
        def counted(example: T) -> None:
            self.examples += 1
            holds(example)

        chosen = settings(
            max_examples=examples,
            derandomize=not self.seconds_each,
            database=None,
            deadline=None,  # ANSWER_S is ours
            print_blob=False,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        test = given(strategy)(chosen(counted))
        if not self.seconds_each:
            test()
            return
        try:
            seed(self.seed + round_)(test)()
        except BaseException as exc:
            exc.add_note(f"make fuzz SEED={self.seed + round_} begins with the examples of this round")
            raise


_FUZZ = pytest.StashKey[Fuzz]()


def pytest_collection_finish(session: pytest.Session) -> None:
    config = session.config
    properties = [item for item in session.items if "fuzz" in getattr(item, "fixturenames", ())]
    minutes = float(config.getoption("fuzz_minutes"))
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if minutes and reporter is not None:
        reporter.write_line(
            f"fuzzing for {minutes:g} minutes, seed {_seed(config)}"
        )  # also for a run that is cut off
    config.stash[_FUZZ] = Fuzz(seconds_each=minutes * 60 / max(1, len(properties)), seed=_seed(config))


def _seed(config: pytest.Config) -> int:
    if config.option.fuzz_seed is None:
        config.option.fuzz_seed = random.randrange(1 << 32)
    return int(config.option.fuzz_seed)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    made = config.stash.get(_FUZZ, None)
    if made is None or not made.seconds_each:
        return
    statuses = ", ".join(f"{status or 'closed'}: {count:,}" for status, count in sorted(made.tally.items()))
    terminalreporter.section("fuzzing")
    terminalreporter.line(
        f"seed {made.seed}; {made.rounds} rounds, {made.examples:,} examples, {made.documented:,} of the document"
    )
    terminalreporter.line(f"{made.tally.total():,} answers, the slowest after {made.slowest_s:.2f} s; {statuses}")
    for line in made.growth:
        terminalreporter.line(line)


@pytest.fixture(scope="session")
def observed(pytestconfig: pytest.Config) -> Fuzz:
    """The count of what was answered, for tests that go through no rounds."""
    return pytestconfig.stash[_FUZZ]


@pytest.fixture(scope="session")
def fuzz(observed: Fuzz) -> Fuzz:
    """For a property: it gets its share of the time."""
    return observed


@dataclass
class Wire:
    """Connections to one node over which any bytes can be sent; one is kept while the node keeps it."""

    api: Api
    tls: ssl.SSLContext
    fuzz: Fuzz
    kept: ssl.SSLSocket | None = None

    def connect(self, *, client: str = CLIENT) -> ssl.SSLSocket:
        """A new connection from this loopback address."""
        address = urlsplit(self.api.url)
        plain = socket.create_connection(
            ("127.0.0.1", address.port or 0), timeout=ANSWER_S + 1, source_address=(client, 0)
        )
        return self.tls.wrap_socket(plain, server_hostname="localhost")

    def ask(
        self, request: bytes, *, method: bytes = b"GET", client: str | None = None, keep: bool = True
    ) -> Reply | None:
        """Send and read one answer; None where the node closes the connection without one.

        A client address, or bytes that may not be one whole request, get a connection of their own.
        """
        fresh = not keep or client is not None
        for is_last in (False, True):
            kept = None if fresh else self.kept
            reused = kept is not None
            connection = kept or self.connect(client=client or CLIENT)
            if reused:
                self.kept = None
            begun = time.monotonic()
            try:
                reply = self._exchanged(connection, request, method, begun, keep=not fresh)
            except TimeoutError:
                connection.close()
                raise AssertionError(f"no answer within {ANSWER_S} s") from None
            except (OSError, http.client.HTTPException):
                connection.close()
                if reused and not is_last:
                    continue  # the node had closed it meanwhile, as it may
                self.fuzz.tally[0] += 1
                return None
            self.fuzz.tally[reply.status] += 1
            self.fuzz.slowest_s = max(self.fuzz.slowest_s, reply.elapsed_s)
            return reply
        raise AssertionError("a second try returns")

    def _exchanged(
        self, connection: ssl.SSLSocket, request: bytes, method: bytes, begun: float, *, keep: bool
    ) -> Reply:
        refused: OSError | None = None
        try:
            connection.sendall(request)
        except OSError as exc:  # it may have answered before it had read everything
            refused = exc
        answer = http.client.HTTPResponse(connection, method=method.decode("latin-1"))
        try:
            answer.begin()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            if refused is not None:
                raise refused from None
            raise
        headers = {name.lower(): value for name, value in answer.headers.items()}
        if keep and not answer.will_close and refused is None:
            self.kept = connection
        else:
            connection.close()
        return Reply(answer.status, headers, body, time.monotonic() - begun)

    def close(self) -> None:
        if self.kept is not None:
            self.kept.close()


def wire_to(cluster: Cluster, api: Api, fuzz: Fuzz) -> Wire:
    """A connection to a node; the caller closes it."""
    return Wire(api, ssl.create_default_context(cafile=str(cluster.ca_cert)), fuzz)


class Watch:
    """What must stay as it was: the nodes' logs without a bug, their descriptors, threads and memory in bounds."""

    def __init__(self, cluster: Cluster, fuzz: Fuzz, what: str) -> None:
        self._cluster = cluster
        self._fuzz = fuzz
        self._what = what
        self._read_to = {node.name: node.log.stat().st_size for node in cluster.nodes}
        self._first: dict[str, tuple[int, int, int]] = {}

    def require_no_bug(self) -> None:
        """No node has logged one since the last call."""
        for node in self._cluster.nodes:
            with node.log.open("rb") as log:
                log.seek(self._read_to[node.name])
                new = log.read()
            self._read_to[node.name] += len(new)
            assert not BUG.search(new), f"{node.name} logged: {new.decode(errors='replace')}"

    def require_steady(self) -> None:
        """Every node is ready and has grown by no more than the slack since the first call, after some examples."""
        self.require_no_bug()
        for node in self._cluster.nodes:
            assert node.is_running, f"{node.name} has ended: {node.last_words()}"
            self._require_steady(node)

    def _require_steady(self, node: NodeProcess) -> None:
        wait_until(lambda: node.ask("GET", "health/?ready=1") == {}, f"{node.name} is ready")
        fds, threads, rss = self._first.setdefault(node.name, _held(node))
        wait_until(lambda: _held(node)[0] <= fds + SLACK_FDS, f"{node.name} closed its descriptors", timeout_s=20.0)
        now = _held(node)
        if self._fuzz.seconds_each:
            line = f"{self._what}, {node.name}: descriptors {fds} → {now[0]}, threads {threads} → {now[1]}, MB "
            self._tell(line, f"{rss >> 20} → {now[2] >> 20}")
        assert now[1] <= threads + SLACK_THREADS, f"{node.name} has {now[1]} threads, had {threads}"
        assert now[2] <= rss + SLACK_RSS, f"{node.name} holds {now[2] >> 20} MB, held {rss >> 20}"

    def _tell(self, line: str, more: str) -> None:
        begun = line.partition(":")[0]
        self._fuzz.growth[:] = [told for told in self._fuzz.growth if not told.startswith(f"{begun}:")]
        self._fuzz.growth.append(line + more)


def _held(node: NodeProcess) -> tuple[int, int, int]:
    """Open descriptors, threads and bytes of memory of a node's process."""
    process = psutil.Process(node.pid)
    return process.num_fds(), process.num_threads(), process.memory_info().rss


CONTENT_TYPES = {"application/json", "text/html", "text/plain", "application/openmetrics-text"}  # of a 200


def require_sound(reply: Reply, allowed: Iterable[int], *, method: bytes = b"GET") -> None:
    """One of these statuses, in time, with the headers of every answer and a body as the contract has it."""
    assert reply.elapsed_s < ANSWER_S, f"answered after {reply.elapsed_s:.1f} s"
    assert reply.status in set(allowed), (reply.status, reply.body[:500])
    assert reply.headers.get("cache-control") == "no-cache", reply
    if reply.status == 200:
        assert reply.headers["content-type"].partition(";")[0] in CONTENT_TYPES
        is_plain_json = "json" in reply.headers["content-type"] and "content-encoding" not in reply.headers
        assert method == b"HEAD" or not is_plain_json or isinstance(json.loads(reply.body), dict)
        return
    if reply.status == 503 and reply.headers["content-type"] == "application/json":
        assert b'"is_restart_safe"' in reply.body or b'"code": 14' in reply.body or method == b"HEAD"
        return  # the two healths that say so in JSON
    if reply.status == 301:
        assert re.match(r"/(?!/)", reply.headers["location"]), reply.headers  # never to another host
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert method == b"HEAD" or re.fullmatch(r"[^\n]+\n([^\n]+\n)?", reply.text), reply.text
    assert not LEAK.search(reply.text), reply.text


def is_own_refusal(reply: Reply | None) -> bool:
    """Whether the HTTP server refused before the application saw a request: closed, or an error without a body."""
    return reply is None or (reply.status in OWN_REFUSALS and not reply.body and "cache-control" not in reply.headers)


@pytest.fixture
def wire(cluster: Cluster, apis: list[Api], observed: Fuzz) -> Iterator[Wire]:
    """To the node of a standby: it asks the others for everything that it doesn't know."""
    made = wire_to(cluster, apis[1], observed)
    yield made
    with suppress(OSError):
        made.close()
