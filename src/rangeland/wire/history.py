"""What nodes remember of their own metrics, as /history/ shows it. An addition of ours."""

from typing import Annotated

from msgspec import Meta, Raw, Struct

from rangeland.wire.sessions import NodeError


class NodeHistory(Struct, frozen=True, kw_only=True):
    """A node's metrics in the last hours, one reading a minute, since its process started."""

    node_id: int  # whose
    step_seconds: (
        int  # how far two readings are apart, about: 60, or more where they are thinned out; further is a gap
    )
    kept_seconds: int  # how long the node keeps a reading; 0: it keeps none (setting history)
    times: list[int]  # when each reading was made, s since 1970 by the node's clock, ascending; [] without one
    metrics: dict[str, list[float | None]]  # by dotted name, a value for each of `times`; null: not known then.
    # A name of which no value is known is absent (as nodes/ has them)


# A NodeHistory that stays bytes on its way through the nodes
EncodedNodeHistory = Annotated[Raw, Meta(extra_json_schema={"$ref": "#/components/schemas/NodeHistory"})]


class HistoryAnswer(Struct, frozen=True, kw_only=True):
    """A history of each node that answered."""

    nodes: list[EncodedNodeHistory]  # by ascending node id
    errors: list[NodeError]  # by ascending node id; [] when every node answered
