"""Whatever is asked, in path, method, query and headers, gets the contract's answer, and costs nothing that stays."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import strategies as st

import rangeland.api
from fix_cluster import Api, log_in
from fix_fuzz import Fuzz, Watch, Wire, is_own_refusal, require_sound
from rangeland.api.authenticate import Access
from rangeland.api.routes import ENDPOINTS
from rangeland.engine.cluster import Cluster
from strategies import PARAMETERS, Asked, other_headers, paths, queries, quoted, requests_of, session_headers, words

READ_STATUSES = (200, 301, 400, 401, 404, 405, 500)
READS = [each.path for each in ENDPOINTS if each.access is Access.READER]


def require_answer(wire: Wire, asked: Asked, *more: bytes) -> None:
    """The HTTP server's own refusal or an answer of ours; a 500 only for a node that doesn't exist."""
    reply = wire.ask(asked.encoded(*more), method=asked.method)
    if is_own_refusal(reply):
        return
    assert reply is not None
    require_sound(reply, READ_STATUSES, method=asked.method)
    assert reply.status != 500 or asked.method == b"HEAD" or "there is no node" in reply.text, reply.text


def test_every_path_method_and_header_is_answered_as_the_contract_says(
    fuzz: Fuzz, cluster: Cluster, wire: Wire, apis: list[Api]
) -> None:
    """With any session header but a live one that may read."""
    spent = log_in(cluster, apis[1], "stranger")
    watch = Watch(cluster, fuzz, "paths")

    def holds(asked: Asked) -> None:
        reply = wire.ask(asked.encoded(), method=asked.method)
        if not is_own_refusal(reply):
            assert reply is not None
            require_sound(reply, (200, 301, 400, 401, 403, 404, 405, 503), method=asked.method)
        watch.require_no_bug()

    fuzz.check(requests_of(paths(), session_headers(spent)), holds, examples=250, after=watch.require_steady)


def test_every_parameter_is_answered_as_the_contract_says(
    fuzz: Fuzz, cluster: Cluster, wire: Wire, token: str
) -> None:
    watch = Watch(cluster, fuzz, "parameters")
    header = f"X-Cockroach-API-Session: {token}".encode()

    def holds(asked: Asked) -> None:
        require_answer(wire, asked, header)
        watch.require_no_bug()

    def filled(path: str) -> st.SearchStrategy[bytes]:
        parts = [quoted(words()) if part.startswith("{") else st.just(part.encode()) for part in path.split("/")]
        return st.tuples(*parts).map(lambda found: b"/".join(found) + b"/")

    asked = requests_of(
        st.sampled_from(READS).flatmap(filled), st.just([]), methods=[b"GET"] * 5 + [b"HEAD"], query=queries
    )
    fuzz.check(asked, holds, examples=250, after=watch.require_steady)


def test_any_header_goes_with_a_request_that_is_right(fuzz: Fuzz, cluster: Cluster, wire: Wire, token: str) -> None:
    watch = Watch(cluster, fuzz, "headers")
    header = f"X-Cockroach-API-Session: {token}".encode()

    def holds(headers: list[bytes]) -> None:
        asked = Asked(b"GET", b"/api/v2/nodes/", b"", headers)
        reply = wire.ask(asked.encoded(header))
        if not is_own_refusal(reply):
            assert reply is not None
            require_sound(reply, (200,))
        watch.require_no_bug()

    fuzz.check(other_headers(), holds, examples=60, after=watch.require_steady)


def test_every_parameter_that_a_handler_reads_is_fuzzed() -> None:
    """Otherwise this file would say less than its name."""
    room = Path(rangeland.api.__file__).parent
    read = {name for file in room.glob("*.py") for name in re.findall(r"parameter\(\"(\w+)\"\)", file.read_text())}
    assert read <= set(PARAMETERS)
    assert "limit" in read
