"""One node's contribution to an answer: what it said, or why it said nothing."""

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from rangeland.wire.nodes import Liveness

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PartError:
    """Why a node's contribution is missing."""

    kind: Literal["dial", "request"]  # it was not reached, or it was reached and did not answer well
    liveness: Liveness  # of that node, as the asking node sees it
    cause: str  # one line that a client can act on


@dataclass(frozen=True)  # with slots, Part[T](…) would raise: Python 3.11 can't note the T on a frozen one
class Part(Generic[T]):
    """Of `value` and `error` exactly one is set."""

    node_id: int
    value: T | None = None
    error: PartError | None = None


@dataclass(frozen=True, slots=True)
class Topology:
    """Who holds the cluster's data now."""

    leaseholder_node_id: int  # the primary's node; 0: there is no primary
    replica_node_ids: tuple[int, ...]  # nodes whose server holds a copy, the leaseholder too; any order
    timeline: int = 0  # of the primary's WAL; 0: there is no primary


def text(part: Part[T], what: str) -> str:
    """The contract's line about a missing part, where `what` was asked for; "" for a part that has a value.

    Source: Cluster API v2.0, multi-node behaviour.
    """
    if part.error is None:
        return ""
    action = "failed to dial into" if part.error.kind == "dial" else f"error requesting {what} from"
    return f"{action} node {part.node_id} (NODE_STATUS_{part.error.liveness.name}): {part.error.cause}"
