"""The texts about missing parts, which clients match on."""

import pytest

from rangeland.merge.part import Part, PartError, text
from rangeland.wire.nodes import Liveness


@pytest.mark.parametrize(
    ("error", "what", "expected"),
    [
        (
            PartError("dial", Liveness.DEAD, "connection refused"),
            "session list",
            "failed to dial into node 3 (NODE_STATUS_DEAD): connection refused",
        ),
        (
            PartError("request", Liveness.LIVE, "no answer within 3 s"),
            "session list",
            "error requesting session list from node 3 (NODE_STATUS_LIVE): no answer within 3 s",
        ),
        (
            PartError("request", Liveness.UNAVAILABLE, "server is down"),
            "details about range 7",
            "error requesting details about range 7 from node 3 (NODE_STATUS_UNAVAILABLE): server is down",
        ),
    ],
)
def test_the_text_names_node_liveness_and_cause(error: PartError, what: str, expected: str) -> None:
    assert text(Part[int](3, error=error), what) == expected


def test_a_part_with_a_value_has_no_text() -> None:
    assert text(Part(3, value=1), "session list") == ""
