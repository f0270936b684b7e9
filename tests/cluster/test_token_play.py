"""Half a minute of logins, logouts, faults and recoveries in an order that a seed gives, judged after each step."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException

import pytest

from cluster.token_model import Fate, TokenModel
from fix_cluster import Reply, apis_of, new_client, running_cluster, wait_until
from fix_lags import LAGS
from rangeland.engine.cluster import Cluster

PLAY_S = 30.0
JUDGED = 5  # of the live and of the ended tokens each, after every step


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Of this module alone."""
    with running_cluster(3) as made:
        yield made


@dataclass(frozen=True)
class Fault:
    """What is broken, and what that excuses."""

    name: str
    broken: Callable[[], AbstractContextManager[None]]
    silent: int | None = None  # the node that isn't asked meanwhile
    excuses: bool = False  # nodes needn't be able to say whose a token is
    stops_logins: bool = False


def faults_of(cluster: Cluster) -> list[Fault]:
    """Every single fault of a node or a server, and every lag of a standby."""
    found = []
    for number in range(3):
        node, server, is_first = cluster.nodes[number], cluster.servers[number], number == 0
        found += [
            Fault(f"killed {node.name}", partial(_undone, node.kill, node.start), number, stops_logins=is_first),
            Fault(f"paused {node.name}", partial(_undone, node.pause, node.resume), number, stops_logins=is_first),
            Fault(f"killed {server.name}", partial(_undone, server.kill, server.start), None, True, is_first),
            Fault(f"paused {server.name}", partial(_undone, server.pause, server.resume), None, True, is_first),
        ]
        if not is_first:
            found += [Fault(f"{lag.__name__} of {server.name}", partial(lag, server)) for lag in LAGS]
    return found


class Play:
    """One seed's course; at most one fault at a time."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self._cluster = cluster
        self._apis = apis_of(cluster)
        self._random = random.Random(seed)
        self._faults = faults_of(cluster)
        self._random.shuffle(self._faults)
        self._fault: Fault | None = None
        self._mending = ExitStack()
        self._model = TokenModel()
        self.course: list[str] = []
        self.done: Counter[str] = Counter()

    def run(self, seconds: float) -> None:
        """Play, then mend what is broken and judge everything once more. Fails at the first broken promise."""
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                self._step()
        finally:
            self._mend()
        self._judge(self._model.tokens(), settled=True)

    def _step(self) -> None:
        act = self._random.choices((self._log_in, self._log_out, self._change), (4, 4, 2))[0]
        act()
        self._judge(self._sample(), settled=True)

    def _log_in(self) -> None:
        number = self._any_node()
        if self._logs_in(number):
            self.done["logins"] += 1
        else:
            self._require(self._fault is not None and self._fault.stops_logins)

    def _logs_in(self, number: int) -> bool:
        """Whether a login there works; where not, it is refused as it should be where there is no primary."""
        answer = self._asked(
            lambda: self._apis[number].log_in(self._cluster.username, self._cluster.password, client=new_client())
        )
        self._note(f"login at {number + 1}: {answer.status if answer else None}")
        if answer is None or answer.status != 200:
            self._require(answer is None or answer.status == 503)
            return False
        self._model.began(answer.json["session"])
        return True

    def _log_out(self) -> None:
        live = self._model.tokens(Fate.LIVE)
        if not live:
            return
        token, number = self._random.choice(live), self._any_node()
        answer = self._asked(lambda: self._apis[number].log_out(token))
        self._note(f"logout at {number + 1}: {answer.status if answer else None}")
        if answer is not None and answer.status == 200:
            self.done["logouts"] += 1
            self._model.ended(token)
        else:
            self._require(self._fault is not None and self._fault.excuses)
            self._require(answer is None or answer.status == 500)
            self._model.end_unanswered(token)

    def _change(self) -> None:
        if self._fault is not None:
            self._mend()
            return
        fault = self._faults[self.done["faults"] % len(self._faults)]
        self._note(fault.name)
        self._mending.enter_context(fault.broken())
        self._fault = fault
        self.done["faults"] += 1

    def _mend(self) -> None:
        """What was ended meanwhile is refused by the first answer of whoever is back."""
        if self._fault is None:
            return
        self._note(f"no more {self._fault.name}")
        self._mending.close()
        self._fault = None
        ended = self._model.tokens(Fate.ENDED)[-JUDGED:]
        self._judge(ended, settled=False)
        for node in self._cluster.nodes:
            node.wait_until_ready()
        wait_until(lambda: None not in self._answers(self._sample()[:1]), "every node answers")
        for number in range(3):
            wait_until(partial(self._logs_in, number), "every node knows the primary's")

    def _judge(self, tokens: list[str], *, settled: bool) -> None:
        """What each node that can be reached says of each token."""
        may_fail = not settled or (self._fault is not None and self._fault.excuses)
        reached = [number for number in range(3) if self._fault is None or number != self._fault.silent]
        with ThreadPoolExecutor(8) as threads:
            asked = {
                number: {token: threads.submit(self._status, number, token) for token in tokens} for number in reached
            }
        for number, answers in asked.items():
            status_by_token = {token: answer.result() for token, answer in answers.items()}
            complaints = list(self._model.complaints(f"node {number + 1}", status_by_token, may_fail=may_fail))
            assert not complaints, f"{complaints}\n{self._told()}"

    def _answers(self, tokens: list[str]) -> set[int | None]:
        """Of every node; None also for one that can't say yet."""
        statuses = {self._status(number, token) for number in range(3) for token in tokens}
        return {None if status == 500 else status for status in statuses}

    def _sample(self) -> list[str]:
        live, ended = self._model.tokens(Fate.LIVE, Fate.UNSURE), self._model.tokens(Fate.ENDED)
        return live[-JUDGED:] + ended[-JUDGED:]

    def _status(self, number: int, token: str) -> int | None:
        answer = self._asked(lambda: self._apis[number].get("users/?limit=1", token))
        return answer.status if answer else None

    def _asked(self, ask: Callable[[], Reply]) -> Reply | None:
        with suppress(OSError, HTTPException):
            return ask()
        return None

    def _any_node(self) -> int:
        return self._random.choice([each for each in range(3) if not self._fault or each != self._fault.silent])

    def _note(self, step: str) -> None:
        self.course.append(step)

    def _require(self, is_so: bool) -> None:
        assert is_so, self._told()

    def _told(self) -> str:
        return "\n".join(["the course was:", *self.course])


@pytest.mark.parametrize("seed", [1])
def test_no_fault_in_any_order_loses_a_login_or_a_logout(cluster: Cluster, seed: int) -> None:
    play = Play(cluster, seed)
    play.run(PLAY_S)
    assert min(play.done["logins"], play.done["logouts"], play.done["faults"]) >= 3, play.course


@contextmanager
def _undone(make: Callable[[], None], mend: Callable[[], None]) -> Iterator[None]:
    make()
    try:
        yield
    finally:
        mend()
