"""/history/: what every node remembers of its own metrics."""

from __future__ import annotations

from typing import Final

from rangeland.api.asking import Asking
from rangeland.api.ranges import parse_node_id
from rangeland.api.replies import Body, HttpError, encoded
from rangeland.cluster import questions as q
from rangeland.merge.history import merge_history
from rangeland.merge.paging import parse_limit
from rangeland.wire.parts import HistoryParams

MOST_METRICS: Final = 50
SINCE_S: Final = 3600
LONGEST_S: Final = 48 * 3600  # nobody keeps more
POINTS: Final = 400  # a chart has no more columns to show them in
MOST_POINTS: Final = 2880  # minutes of LONGEST_S

# What the console's charts are made of
CHARTED: Final = (
    "sql.conns",
    "sql.statements.active",
    "sql.query.count",
    "sql.txn.commit.count",
    "sql.txn.rollback.count",
    "sys.cpu.host.combined.percent-normalized",
    "sys.host.memory.available",
    "sys.host.load.1m",
    "sys.rss",
    "capacity",
    "capacity.available",
    "capacity.used",
    "pg.connections.idle_in_transaction",
    "pg.connections.waiting_for_lock",
    "pg.connections.max",
    "pg.transactions.oldest.seconds",
    "pg.cache.hits",
    "pg.cache.misses",
    "pg.tuples.read",
    "pg.tuples.written",
    "pg.deadlocks",
    "pg.temp.bytes",
    "pg.wal.bytes",
    "pg.replication.lag.bytes",
    "pg.replication.lag.seconds",
)


async def list_history(asking: Asking) -> Body:
    """The metrics of all nodes or of one (`node_id`) in the last hours, a reading a minute."""
    services = asking.services
    params = HistoryParams(
        metrics=parse_metrics(asking.parameter("metrics")),
        since_s=_parse_within(asking.parameter("since_s"), "since_s", default=SINCE_S, least=1, most=LONGEST_S),
        max_points=_parse_within(
            asking.parameter("max_points"), "max_points", default=POINTS, least=2, most=MOST_POINTS
        ),
    )
    node_id = asking.parameter("node_id")
    node_ids = [parse_node_id(node_id, local=services.cluster.node_id)] if node_id else None

    async def ask() -> Body:
        parts = await services.cluster.ask_all(q.HISTORY, params, deadline=asking.deadline, node_ids=node_ids)
        return encoded(merge_history(parts))

    key = ("history", tuple(params.metrics), params.since_s, params.max_points, str(node_ids))
    return await services.flights.join(key, ask)


def parse_metrics(query_text: str) -> list[str]:
    """Names between commas, each once; those of the charts when there are none. Raises: HttpError 400."""
    names = list(dict.fromkeys(name for part in query_text.split(",") if (name := part.strip())))
    if len(names) > MOST_METRICS:
        raise HttpError(400, f"too many metrics; at most {MOST_METRICS} at a time")
    return names or list(CHARTED)


def _parse_within(query_text: str, name: str, *, default: int, least: int, most: int) -> int:
    """Raises: HttpError 400."""
    if not query_text:
        return default
    number = parse_limit(query_text)
    if not least <= number <= most:
        raise HttpError(400, f"invalid {name}; should be a number from {least} to {most}")
    return number
