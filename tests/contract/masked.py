"""An answer as text that is the same each time: what varies gives way to its type, the rest stays as it came.

Names, order of fields, compactness, headers and status stay. Zero, false and the empty stay too: on the wire they say
something. A value of another type than its name promises stays, so that it shows in the difference.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from fix_cluster import Reply

TIME = r"[1-9]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,8}[1-9])?Z"
TEXTS = {
    "time": TIME,
    "date": r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT",
    "uuid": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "hex": r"[0-9a-f]{32}",
    "decimal": r"-?\d+",
    "base64": r"(?=.{24,})[A-Za-z0-9+/]+={0,2}",
    "host:port": r"(localhost|127\.0\.0\.1):\d+",
    "timing": r"auth;dur=\d+\.\d{3}, collect;dur=\d+\.\d{3}, fan-out;dur=\d+\.\d{3}, encode;dur=\d+\.\d{3}",
    "version": r"v\d+\.\d+\.\d+",
}
CAUSE = re.compile(r"(node \d+ \(NODE_STATUS_UNAVAILABLE\): ).+")  # with addresses and times
KINDS_BY_NAME: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("started_at", "updated_at", "total_system_memory", "num_cpus", "descriptor_id"), ("int",)),
    **dict.fromkeys(("major", "minor", "major_val", "minor_val"), ("int",)),
    **dict.fromkeys(("range_id", "scans", "pg_backend_pid", "pid", "elapsed_time"), ("int",)),
    **dict.fromkeys(("total_bytes", "table_bytes", "indexes_bytes", "size_bytes", "data_total_bytes"), ("int",)),
    **dict.fromkeys(("qps", "queries_per_second", "writes_per_second", "reads_per_second"), ("float",)),
    **dict.fromkeys(("read_bytes_per_second", "buffers_per_second", "window_seconds"), ("float",)),
    **dict.fromkeys(("start", "end", "stats_last_created_at"), ("time",)),
    **dict.fromkeys(("address_field", "client_address"), ("host:port",)),
    "disk_read_bytes_per_second": ("zero or float",),
    "metrics": ("zero or float",),
    "store_metrics": ("zero or float",),
    "id": ("uuid", "hex", "base64"),
    "txn_id": ("uuid",),
    "cluster_id": ("uuid",),
    "expires_at": ("time",),
    "query_id": ("decimal",),
    "session": ("base64",),
    "build_tag": ("version",),
    "content-length": ("decimal",),
    "date": ("date",),
    "server-timing": ("timing",),
}


def written(request: str, answer: Reply, body: Any) -> str:
    """The whole answer as indented JSON; `body` is what the case chose of it."""
    told = {
        "request": request,
        "status": answer.status,
        "headers": {name: masked(answer.headers[name], name) for name in sorted(answer.headers)},
        "body": masked(body),
    }
    return json.dumps(told, indent=2, ensure_ascii=False) + "\n"


def body_of(answer: Reply) -> Any:
    """The JSON of a compact answer; otherwise its text, so that a blank between two fields shows, too."""
    outside_of_texts = re.sub(r'"(?:[^"\\]|\\.)*"', "", answer.text)
    if answer.headers.get("content-type") != "application/json" or re.search(r"\s", outside_of_texts):
        return answer.text
    return json.loads(answer.text)


def masked(value: Any, name: str = "") -> Any:
    """What varies, replaced by `<type>`; fields of an object below a masked name have that name's type."""
    if isinstance(value, Mapping):
        is_table = name in ("metrics", "store_metrics")
        return {key: masked(each, name if is_table else key) for key, each in value.items()}
    if isinstance(value, list):
        return [masked(each) for each in value]
    if isinstance(value, str):
        value = CAUSE.sub(r"\1<cause>", value)
    for kind in KINDS_BY_NAME.get(name, ()):
        if _is_of_kind(value, kind):
            return f"<{kind.removeprefix('zero or ')}>"
    return value


def _is_of_kind(value: Any, kind: str) -> bool:
    if kind == "int":
        return type(value) is int and value != 0
    if kind == "float":
        return type(value) is float and value != 0
    if kind == "zero or float":
        return type(value) is float
    return isinstance(value, str) and re.fullmatch(TEXTS[kind], value) is not None
