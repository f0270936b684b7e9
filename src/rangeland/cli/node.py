"""`rangeland node`: the nodes of the cluster, as a command."""

from __future__ import annotations

from typing import Any

import click

from rangeland.cli.duration import Duration
from rangeland.cli.format import format_option, print_rows
from rangeland.cli.settings import read_settings, takes_settings

COLUMNS = (
    "id",
    "address",
    "sql_address",
    "build",
    "started_at",
    "updated_at",
    "locality",
    "is_available",
    "is_live",
)


@click.group("node")
def command() -> None:
    """List nodes and their status.

    Asks the node of --url, signed with the cluster key in --certs-dir: no login is needed.
    """


@command.command("ls")
@takes_settings("node")
@format_option
def list_ids(output_format: str | None, **flags: Any) -> None:
    """List the ids of all nodes."""
    rows = [[status.node_id] for status in _statuses(flags)]
    print_rows(["id"], rows, output_format)


@command.command("status")
@click.argument("node_ids", nargs=-1, type=click.IntRange(min=1), metavar="[ID]...")
@click.option("--timeout", "timeout", type=Duration(), default="6s", show_default=True, help="How long to wait.")
@takes_settings("node")
@format_option
def show_status(node_ids: tuple[int, ...], timeout: Any, output_format: str | None, **flags: Any) -> None:
    """Show the status of all nodes, or of those with these ids."""
    from rangeland.errors import RangelandError

    statuses = _statuses(flags, timeout_s=timeout.total_seconds())
    known = {status.node_id for status in statuses}
    if unknown := [str(node_id) for node_id in node_ids if node_id not in known]:
        raise RangelandError(f"there is no node {', '.join(unknown)}")
    rows = [_row(status) for status in statuses if not node_ids or status.node_id in node_ids]
    print_rows(COLUMNS, rows, output_format)


def _statuses(flags: dict[str, Any], **timeout: float) -> Any:
    from rangeland.cli.asking import ask_node
    from rangeland.cluster.questions import LIST_NODES
    from rangeland.wire.parts import Nothing

    return ask_node(read_settings("node", flags), LIST_NODES, Nothing(), **timeout).nodes


def _row(status: Any) -> list[Any]:
    from rangeland.cli.asking import local_time
    from rangeland.wire.nodes import Liveness

    is_live = status.liveness_status in (Liveness.LIVE, Liveness.DRAINING)
    return [
        status.node_id,
        status.address.address_field,
        status.sql_address.address_field,
        status.build_tag,
        local_time(status.started_at),
        local_time(status.updated_at),
        ",".join(f"{tier.key}={tier.value}" for tier in status.locality.tiers),
        is_live,
        is_live,
    ]
