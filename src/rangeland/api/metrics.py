"""/metrics and /_status/vars: what this node knows of itself, for Prometheus. Source: Cluster API, non-v2 HTTP.

Of this node, its machine and its server only: Prometheus asks each node; what is wrong with the cluster one of them
counts, see problem_counts.py. Anyone may ask, so there are numbers and node ids in it, no names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from rangeland.api.asking import Asking
from rangeland.api.problems import share_problems
from rangeland.api.replies import Body
from rangeland.api.services import Services
from rangeland.cluster import questions as q
from rangeland.collect.metrics import OF_A_NODE, OF_A_STORE, Kind
from rangeland.collect.metrics import Metric as Described
from rangeland.config import REQUEST_TIMEOUT_S
from rangeland.wire.parts import Nothing, StatusPart
from rangeland.wire.problems import ProblemsAnswer


class _Scrape(Collector):
    """One answer's families, collected already."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


async def show_metrics(asking: Asking) -> Body:
    """In the format that the client's Accept asks for; 200 also while the server is down or hangs.

    Who asks at the same time shares one statement, and one answer where the format is the same.
    """
    services = asking.services
    encode, content_type = choose_encoder(asking.request.headers.get("accept", ""))

    async def read() -> StatusPart | None:
        part = await services.cluster.ask(services.cluster.node_id, q.STATUS, Nothing(), deadline=asking.deadline)
        return part.value

    async def answer() -> Body:
        part = await services.flights.join(("status of this node",), read)
        return Body(_encoded(encode, services, part), content_type)

    return await services.flights.join(("metrics", content_type), answer)


def _encoded(encode: Callable[[Collector], bytes], services: Services, part: StatusPart | None) -> bytes:
    registry = CollectorRegistry()
    registry.register(_Scrape(list(families(services, part))))
    registry.register(services.traffic)
    return encode(registry)


def families(services: Services, part: StatusPart | None) -> Iterator[Metric]:
    """What the node, its server and its members are, then every metric of collect/metrics.py that is known."""
    node_id = str(services.cluster.node_id)
    yield from _server_families(node_id, part)
    yield from _cluster_families(services, node_id)
    yield from _problem_families(services)
    if part is not None:
        yield from _described(OF_A_NODE, part.status.metrics, {"node_id": node_id})
        for store_id, metrics in part.status.store_metrics.items():
            yield from _described(OF_A_STORE, metrics, {"node_id": node_id, "store": str(store_id)})


def _server_families(node_id: str, part: StatusPart | None) -> Iterator[Metric]:
    is_up = part is not None and part.server_up
    is_primary = is_up and part is not None and part.role == "primary"
    labels = {"node_id": node_id}
    yield _gauge("rangeland_server_up", "1 while the node's PostgreSQL server answers", is_up, labels)
    yield _gauge("rangeland_server_primary", "1 while that server takes writes", is_primary, labels)
    if part is not None:
        yield _gauge("rangeland_server_timeline", "Timeline of its WAL, as last heard", part.timeline, labels)
        version = part.status.ServerVersion
        about = {
            "version": part.status.build_tag,
            "server_version": f"{version.major}.{version.minor}" if version.major else "",
        }
        yield _gauge("rangeland_build_info", "1; what the node and its server are", 1, {**labels, **about})


def _cluster_families(services: Services, node_id: str) -> Iterator[Metric]:
    """From this node's memory: it asks nobody for a scrape."""
    cluster = services.cluster
    labels = {"node_id": node_id}
    others = [each for each in cluster.active_ids() if each != cluster.node_id]
    silent = cluster.silent_since_ns()
    yield _gauge("rangeland_node_ready", "1 while this node should get traffic", services.unready() is None, labels)
    yield _gauge("rangeland_cluster_members", "Nodes that were not decommissioned", len(cluster.active_ids()), labels)
    family = GaugeMetricFamily(
        "rangeland_peer_silent",
        "1 for another node that did not answer this one last time",
        labels=["node_id", "peer"],
    )
    for other in others:
        family.add_metric([node_id, str(other)], float(other in silent))
    yield family


def _problem_families(services: Services) -> Iterator[Metric]:
    """Of the cluster, by the node with the lowest id of those that answer; it asks the others beside this scrape."""
    cluster = services.cluster
    silent = cluster.silent_since_ns()
    lowest = min((each for each in cluster.active_ids() if each not in silent), default=0)
    if not lowest or lowest != cluster.node_id:
        services.problem_counts.forget()
        return

    async def judge() -> ProblemsAnswer:
        deadline = asyncio.get_running_loop().time() + REQUEST_TIMEOUT_S
        return await share_problems(services, deadline=deadline)

    yield from services.problem_counts.families(judge)


def _described(
    table: Iterable[Described], number_by_name: Mapping[str, float], labels: Mapping[str, str]
) -> Iterator[Metric]:
    for metric in table:
        if (number := number_by_name.get(metric.name)) is not None:
            made = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
            family = made(metric.family, metric.help, labels=list(labels))
            family.add_metric(list(labels.values()), number)
            yield family


def _gauge(name: str, help: str, number: float, labels: Mapping[str, str]) -> Metric:
    family = GaugeMetricFamily(name, help, labels=list(labels))
    family.add_metric(list(labels.values()), float(number))
    return family
