"""Whether an answer can be right, judged by what is known to be so: plain functions of values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chaos.knowledge import NOTICED_S, View
from fix_cluster import Reply

UNAVAILABLE, LIVE, DRAINING = 2, 3, 6
CLOSED = 1  # a session that has ended and is still shown


@dataclass(frozen=True)
class Situation:
    """One request: which node was asked (by number from 0), and what was so meanwhile."""

    view: View
    asked: int
    node_ids: Sequence[int]  # by number

    @property
    def numbers(self) -> range:
        return range(len(self.node_ids))

    @property
    def is_sound(self) -> bool:
        """The asked node has served for long enough to know everything."""
        return self.view.known("node", self.asked) == "up" and self.view.known("member", self.asked) is True

    @property
    def is_own_server_up(self) -> bool:
        return self.is_sound and self.view.known("server", self.asked) == "up"

    @property
    def is_anybody_able_to_tell_rights(self) -> bool:
        """Some server is in reach of the asked node that can say whose token it is."""
        return self.is_sound and any(
            (number == self.asked or self.view.known("node", number) == "up")
            and self.view.known("member", number) is True
            and self.view.known("server", number) == "up"
            and self.view.known("replay", number) == "running"
            for number in self.numbers
        )

    @property
    def is_primary_reached(self) -> bool | None:
        """None: nobody can say."""
        primary = self.view.known("primary")
        if not self.is_sound or primary is None:
            return None
        return self.view.is_alive(primary)


def statuses_of(kind: str, at: Situation) -> set[int]:
    """The statuses with which a request of somebody who may read can be answered now."""
    view = at.view
    match kind:
        case "health" | "rules" | "document" | "metrics":
            return {200}
        case "ready":
            alive = view.is_alive(at.asked)
            draining, member = view.known("draining", at.asked), view.known("member", at.asked)
            is_down = view.has_been("server", at.asked, "down", for_s=NOTICED_S)
            if is_down or draining is True or member is False:
                return {500}
            return {200} if (alive, draining, member) == (True, False, True) else {200, 500}
        case "safety":
            return {200, 503} if at.is_own_server_up else {200, 500, 503}
    if view.known("node", at.asked) == "up" and view.known("member", at.asked) is False:
        return {500}
    if not at.is_anybody_able_to_tell_rights:
        return {200, 500}
    if kind in ("nodes", "sessions", "hot", "range", "problems", "history", "hot history", "whoami"):
        return {200}
    return {200} if at.is_own_server_up else {200, 500}


def statuses_passed_on(at: Situation, other: int) -> set[int]:
    """Of `nodes` with `remote_node_id`: what the other node says, or why it can't be asked."""
    if other == at.asked:
        return statuses_of("nodes", at)
    member, node = at.view.known("member", other), at.view.known("node", other)
    if not at.is_sound or member is None or node is None:
        return {200, 400, 500}
    if not member:
        return {400}
    return {500} if node == "down" else statuses_of("nodes", replace(at, asked=other))


def require_nodes(answer: Any, at: Situation) -> Iterable[str]:
    """Who lives, who is the primary, who is left out."""
    view, shown = at.view, {each["node_id"]: each for each in answer["nodes"]}
    for number in at.numbers if at.is_sound else ():
        node_id, member, alive = at.node_ids[number], view.known("member", number), view.is_alive(number)
        if member is not None and member != (node_id in shown):
            yield f"node {node_id} is {'left out' if member else 'shown'}"
        if not member or alive is None or node_id not in shown:
            continue
        status = shown[node_id]
        draining = view.known("draining", number)
        if not alive and status["liveness_status"] != UNAVAILABLE:
            yield f"node {node_id} shows liveness {status['liveness_status']}, but is down"
        if alive and draining is not None and status["liveness_status"] != (DRAINING if draining else LIVE):
            yield f"node {node_id} shows liveness {status['liveness_status']}, but lives (draining: {draining})"
        primary = view.known("primary")
        if alive and primary is not None and status.get("role") != ("primary" if primary == number else "standby"):
            yield f"node {node_id} shows role {status.get('role')!r}; the primary is {at.node_ids[primary]}"


def require_errors(errors: Iterable[int], at: Situation, what: str) -> Iterable[str]:
    """Exactly the nodes that can't answer are errors, each once."""
    counted = Counter(errors)
    for node_id, count in counted.items():
        if count > 1 or node_id not in at.node_ids:
            yield f"{count} errors of {what} name node {node_id}"
    for number in at.numbers if at.is_sound else ():
        node_id, member, alive = at.node_ids[number], at.view.known("member", number), at.view.is_alive(number)
        if member is None or alive is None:
            continue
        expected = member and not alive
        if expected != (node_id in counted):
            yield f"{what}: node {node_id} is {'no' if expected else 'an'} error, alive {alive}, member {member}"


def require_markers(sessions: Iterable[Any], at: Situation) -> Iterable[str]:
    """The sessions that the harness keeps open at a live server are shown exactly once, by its node."""
    sessions = list(sessions)
    counted = Counter(each.get("application_name", "") for each in sessions)
    shown_by = {
        each.get("application_name", ""): each["node_id"] for each in sessions if each.get("status", 0) != CLOSED
    }
    twice = [name for name, count in counted.items() if name.startswith("marker") and count > 1]
    if twice:
        yield f"shown more than once: {twice}"
    for number in at.numbers if at.is_sound else ():
        names = at.view.known("markers", number)
        if names is None or at.view.known("member", number) is not True or at.view.is_alive(number) is not True:
            continue
        wrong = [name for name in sorted(names) if shown_by.get(name) != at.node_ids[number]]
        if wrong:
            yield f"open sessions of node {at.node_ids[number]} are missing: {wrong}"


def require_sessions(answer: Any, at: Situation) -> Iterable[str]:
    yield from require_errors((each["node_id"] for each in answer["errors"]), at, "sessions")
    yield from require_markers(answer["sessions"], at)


def require_hot(answer: Any, at: Situation) -> Iterable[str]:
    """A silent node is an error; of a server that is down the last sample may be shown."""
    counted = Counter(each["node_id"] for each in answer.get("response_error", []))
    shown = {each["node_id"] for each in answer["ranges"]}
    if shown & set(counted):
        yield f"nodes {shown & set(counted)} are shown and are errors"
    for number in at.numbers if at.is_sound else ():
        node_id, member = at.node_ids[number], at.view.known("member", number)
        if member is True and at.view.known("node", number) == "down" and counted[node_id] != 1:
            yield f"hot ranges: silent node {node_id} is named {counted[node_id]} times"
        if member is True and at.view.is_alive(number) and counted[node_id]:
            yield f"hot ranges: node {node_id} is an error, but lives"


def require_range(answer: Any, at: Situation, range_id: int) -> Iterable[str]:
    parts = answer["responses_by_node_id"]
    failed = [int(node_id) for node_id, part in parts.items() if "error" in part]
    yield from require_errors(failed, at, "range")
    for number in at.numbers if at.is_sound else ():
        node_id = at.node_ids[number]
        if at.view.known("member", number) is True and at.view.is_alive(number):
            shown = parts.get(str(node_id), {}).get("range_info", {}).get("desc", {}).get("range_id")
            if shown != range_id:
                yield f"node {node_id} lives and shows {shown} for range {range_id}"


def require_walk(pages: Sequence[Any], at: Situation) -> Iterable[str]:
    """All pages together, when nothing changed from the first to the last."""
    yield from require_markers((each for page in pages for each in page["sessions"]), at)
    yield from require_errors((each["node_id"] for page in pages for each in page["errors"]), at, "pages")


def require_token_verdict(
    reply: Reply, at: Situation, *, is_old: bool, must_be_good: bool, must_be_refused: bool
) -> Iterable[str]:
    """No token is accepted after its logout returned; none that is good is refused."""
    if must_be_refused and reply.status in (200, 403):
        yield f"a token was accepted ({reply.status}) after its logout had returned"
    if must_be_good and reply.status in (401, 403) and (is_old or at.is_primary_reached):
        yield f"a good token was refused: {reply.status} {reply.text.strip()!r} (old: {is_old})"


def require_login(reply: Reply, at: Situation) -> Iterable[str]:
    """With the right password: a token, or that nobody can check it."""
    if reply.status not in (200, 500, 503):
        yield f"the right password was answered with {reply.status}: {reply.text.strip()!r}"
    if reply.status == 503 and not reply.headers.get("retry-after", "").isdigit():
        yield "503 without Retry-After"
    if at.is_primary_reached is True and reply.status != 200:
        yield f"the primary lives, but login says {reply.status}: {reply.text.strip()!r}"
    primary = at.view.known("primary")
    if primary is not None and at.view.value("server", primary) == "down" and reply.status == 200:
        yield "a login without a primary"
