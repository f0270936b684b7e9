"""How many requests this node answered, with which statuses, how soon."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Histogram, Metric, disable_created_metrics
from starlette.types import Message, Scope

# 1 ms: an answer from memory. 5 s: what every answer promises.
BUCKETS_S = (0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 5.0)
OTHER = "other"  # paths that there are not: clients choose them, so they are one

disable_created_metrics()  # type: ignore[no-untyped-call]  # a third more lines, which Prometheus 2 keeps as series that nobody asks for


class Traffic:
    """Counts since the node's start; `collect` is prometheus_client's.

    Its size is bounded: a line an endpoint and status that was answered.
    """

    def __init__(self) -> None:
        registry = CollectorRegistry()  # not the library's own, which has metrics of the process that we have, too
        self._requests = Counter(
            "rangeland_http_requests", "Requests answered by this node", ["endpoint", "status"], registry=registry
        )
        self._seconds = Histogram(
            "rangeland_http_request_duration_seconds",
            "Time from a request to the beginning of its answer",
            ["endpoint"],
            buckets=BUCKETS_S,
            registry=registry,
        )
        self._registry = registry
        self._request_by_labels = lru_cache(512)(
            self._requests.labels
        )  # finding a line anew costs as much as counting
        self._seconds_by_label = lru_cache(64)(self._seconds.labels)

    def count(self, scope: Scope, message: Message, begun: float) -> None:
        """An answer begins; `begun` is the time.perf_counter of its request."""
        endpoint = endpoint_name(scope["route"].path) if "route" in scope else OTHER
        self._request_by_labels(endpoint, str(message["status"])).inc()
        self._seconds_by_label(endpoint).observe(time.perf_counter() - begun)

    def collect(self) -> Iterable[Metric]:
        return self._registry.collect()


@lru_cache(128)
def endpoint_name(path: str) -> str:
    """A path of the table as the reference names it: /api/v2/ranges/{range_id}/."""
    plain = re.sub(r":\w+}", "}", path.rstrip("/"))
    return f"{plain}/" if plain.startswith("/api/") else plain
