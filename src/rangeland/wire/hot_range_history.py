"""The last hour of the busiest ranges, as /ranges/hot/history/ shows it. An addition of ours."""

from typing import Annotated

from msgspec import Meta, Raw, Struct

from rangeland.wire.sessions import NodeError


class HotRangeHistory(Struct, frozen=True, kw_only=True):
    """A range's rates on one server, a mean of each minute. A minute that wasn't measured is null, as no zero is."""

    range_id: int  # as in ranges/hot/
    node_id: int  # the node that measured it
    step_seconds: int  # always 60
    times: list[int]  # when each minute began, s since 1970 by the node's clock, ascending, without a hole;
    # the last one may still go on
    buffers_per_second: list[float | None]  # as in ranges/hot/, to a thousandth, one for each of `times`
    queries_per_second: list[float | None]  # likewise; there it is qps
    reads_per_second: list[float | None]  # likewise
    writes_per_second: list[float | None]  # likewise


# A HotRangeHistory that stays bytes on its way through the nodes
EncodedHotRangeHistory = Annotated[Raw, Meta(extra_json_schema={"$ref": "#/components/schemas/HotRangeHistory"})]


class HotRangeHistoryAnswer(Struct, frozen=True, kw_only=True):
    """Histories of all nodes."""

    ranges: list[EncodedHotRangeHistory]  # by ascending range id, where equal by node id
    errors: list[NodeError]  # by ascending node id; [] when every node answered
