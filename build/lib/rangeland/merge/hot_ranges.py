"""Every node's hot ranges → one list, in both shapes. Source: Cluster API v2.0, /ranges/hot/."""

from collections.abc import Sequence

from msgspec import structs

from rangeland.merge.part import Part, Topology, text
from rangeland.wire.hot_ranges import HotRange, HotRangesAnswer, ResponseError
from rangeland.wire.parts import HotPart
from rangeland.wire.ranges import RangeDescriptor, Span


def merge_hot_ranges(parts: Sequence[Part[HotPart]], *, topology: Topology, next_token: str) -> HotRangesAnswer:
    """Ranges hottest first over all parts, with their replicas; failed nodes are in `response_error`."""
    ranges = [range_ for part in parts if part.value is not None for range_ in _with_replicas(part.value, topology)]
    return HotRangesAnswer(
        ranges=sorted(ranges, key=lambda r: (-r.buffers_per_second, r.range_id, r.node_id)),
        ranges_by_node_id=_descriptors_by_node_id(parts),
        response_error=[
            ResponseError(text(part, "hot ranges"), node_id=part.node_id)
            for part in sorted(parts, key=lambda part: part.node_id)
            if part.error is not None
        ],
        next=next_token,
    )


def _with_replicas(part: HotPart, topology: Topology) -> list[HotRange]:
    """An unlogged table isn't replicated: the leaseholder has the only copy."""
    leaseholder = topology.leaseholder_node_id
    everywhere = sorted(topology.replica_node_ids)
    only_there = [leaseholder] if leaseholder else []
    unlogged = frozenset(part.unlogged_range_ids)
    return [
        structs.replace(
            range_,
            leaseholder_node_id=leaseholder,
            replica_node_ids=only_there if range_.range_id in unlogged else everywhere,
        )
        for range_ in part.ranges
    ]


def _descriptors_by_node_id(parts: Sequence[Part[HotPart]]) -> dict[int, list[RangeDescriptor]]:
    """Node ids in their order as text, each node's ranges by ascending id; a node that failed is absent."""
    descriptors: dict[int, list[RangeDescriptor]] = {}
    for part in sorted(parts, key=lambda part: str(part.node_id)):
        if part.value is not None:
            spans = part.value.spans
            of_node = descriptors.setdefault(part.node_id, [])
            of_node.extend(_descriptor(range_, spans.get(range_.range_id, Span())) for range_ in part.value.ranges)
            of_node.sort(key=lambda descriptor: descriptor.range_id)
    return descriptors


def _descriptor(range_: HotRange, span: Span) -> RangeDescriptor:
    return RangeDescriptor(
        range_id=range_.range_id,
        start_key=span.start_key.encode(),
        end_key=span.end_key.encode(),
        store_id=range_.store_id,
        queries_per_second=range_.qps,
    )
