"""`rangeland node`: the nodes of the cluster, as a command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import click

from rangeland.cli.duration import Duration
from rangeland.cli.format import Cell, format_option, print_rows
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
RANGES_COLUMNS = (
    "replicas_leaders",
    "replicas_leaseholders",
    "ranges",
    "ranges_unavailable",
    "ranges_underreplicated",
)
STATS_COLUMNS = ("live_bytes", "key_bytes", "value_bytes", "intent_bytes", "system_bytes")
DECOMMISSION_COLUMNS = ("gossiped_replicas", "is_decommissioning", "membership", "is_draining")


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
@click.option("--ranges", "with_ranges", is_flag=True, help="Also how many ranges each node has.")
@click.option("--stats", "with_stats", is_flag=True, help="Also how much data each node has.")
@click.option("--decommission", "with_decommission", is_flag=True, help="Also whether each node stays.")
@click.option("--all", "with_all", is_flag=True, help="All of these.")
@click.option("--timeout", "timeout", type=Duration(), default="6s", show_default=True, help="How long to wait.")
@takes_settings("node")
@format_option
def show_status(
    node_ids: tuple[int, ...],
    with_ranges: bool,
    with_stats: bool,
    with_decommission: bool,
    with_all: bool,
    timeout: Any,
    output_format: str | None,
    **flags: Any,
) -> None:
    """Show the status of all nodes, or of those with these ids.

    NULL is what PostgreSQL or the asked node doesn't know. A silent node is shown as it was last seen.
    """
    from rangeland.errors import RangelandError

    statuses = _statuses(flags, timeout_s=timeout.total_seconds())
    known = {status.node_id for status in statuses}
    if unknown := [str(node_id) for node_id in node_ids if node_id not in known]:
        raise RangelandError(f"there is no node {', '.join(unknown)}")
    groups = [
        (COLUMNS, _row, True),
        (RANGES_COLUMNS, _ranges_row, with_ranges or with_all),
        (STATS_COLUMNS, _stats_row, with_stats or with_all),
        (DECOMMISSION_COLUMNS, _decommission_row, with_decommission or with_all),
    ]
    columns, row_of = _joined([(names, row) for names, row, is_shown in groups if is_shown])
    rows = [row_of(status) for status in statuses if not node_ids or status.node_id in node_ids]
    print_rows(columns, rows, output_format)


@command.command("decommission")
@click.argument("node_ids", nargs=-1, type=click.IntRange(min=1), metavar="[ID]...")
@click.option("--self", "own", is_flag=True, help="The node of --url.")
@click.option(
    "--wait",
    "wait",
    type=click.Choice(["all", "none"]),
    default="all",
    show_default=True,
    help="none: only announce it; the node stays a member, shown as decommissioning.",
)
@takes_settings("node")
@format_option
def decommission(node_ids: tuple[int, ...], own: bool, wait: str, output_format: str | None, **flags: Any) -> None:
    """Take nodes out of the cluster for good.

    The others ask them no more, and they refuse to answer for the cluster. Their servers stay as they are: a standby
    goes on streaming. Not for the node beside the primary.
    """
    _change_membership(node_ids, own, "decommissioned" if wait == "all" else "decommissioning", output_format, flags)


@command.command("recommission")
@click.argument("node_ids", nargs=-1, type=click.IntRange(min=1), metavar="[ID]...")
@click.option("--self", "own", is_flag=True, help="The node of --url.")
@takes_settings("node")
@format_option
def recommission(node_ids: tuple[int, ...], own: bool, output_format: str | None, **flags: Any) -> None:
    """Make decommissioning or decommissioned nodes members again."""
    _change_membership(node_ids, own, "active", output_format, flags)


@command.command("drain")
@click.argument("node_id", required=False, type=click.IntRange(min=1), metavar="[ID]")
@click.option("--self", "own", is_flag=True, help="The node of --url.")
@click.option("--shutdown", "shut_down", is_flag=True, help="Then end the node's process.")
@takes_settings("node")
def drain(node_id: int | None, own: bool, shut_down: bool, **flags: Any) -> None:
    """Tell load balancers to send a node nobody any more, until it is started again.

    health/?ready=1 says 500 from now on; whoever asks all the same is answered.
    """
    from rangeland.cli.asking import ask_node
    from rangeland.cluster.questions import DRAIN
    from rangeland.wire.members import DrainParams

    [chosen] = _chosen((node_id,) if node_id else (), own, flags)
    ask_node(read_settings("node", flags), DRAIN, DrainParams(node_id=chosen, shut_down=shut_down))
    click.echo(f"node {chosen} is draining{' and ends' if shut_down else ''}")


def _change_membership(
    node_ids: tuple[int, ...],
    own: bool,
    membership: Literal["active", "decommissioning", "decommissioned"],
    output_format: str | None,
    flags: dict[str, Any],
) -> None:
    from rangeland.cli.asking import ask_node
    from rangeland.cluster.questions import CHANGE_MEMBERSHIP
    from rangeland.wire.members import MembershipChange

    chosen = _chosen(node_ids, own, flags)
    change = MembershipChange(node_ids=chosen, membership=membership)
    members = ask_node(read_settings("node", flags), CHANGE_MEMBERSHIP, change).members
    rows: list[list[Cell]] = [
        [member.node_id, member.http_addr, member.membership != "active", member.membership]
        for member in members
        if member.node_id in chosen
    ]
    print_rows(["id", "address", "is_decommissioning", "membership"], rows, output_format)


def _chosen(node_ids: tuple[int, ...], own: bool, flags: dict[str, Any]) -> list[int]:
    """The ids that were given, or that of the asked node. Raises: SettingError unless exactly one kind was given."""
    from rangeland.cli.asking import ask_node
    from rangeland.cluster.questions import HELLO
    from rangeland.errors import SettingError
    from rangeland.wire.members import Hello

    if bool(node_ids) == own:
        raise SettingError("name nodes by their id (see 'rangeland node ls'), or give --self for the node of --url")
    return sorted(set(node_ids)) if node_ids else [ask_node(read_settings("node", flags), HELLO, Hello()).node_id]


def _joined(
    groups: list[tuple[tuple[str, ...], Callable[[Any], list[Cell]]]],
) -> tuple[list[str], Callable[[Any], list[Cell]]]:
    """The columns of all groups, and what makes a status a row of them."""
    columns = [name for names, _ in groups for name in names]
    return columns, lambda status: [cell for _, row in groups for cell in row(status)]


def _statuses(flags: dict[str, Any], **timeout: float) -> Any:
    from rangeland.cli.asking import ask_node
    from rangeland.cluster.questions import LIST_NODES
    from rangeland.wire.parts import Nothing

    return ask_node(read_settings("node", flags), LIST_NODES, Nothing(), **timeout).nodes


def _row(status: Any) -> list[Cell]:
    from rangeland.cli.asking import local_time
    from rangeland.wire.nodes import Liveness

    is_live = status.liveness_status in (Liveness.LIVE, Liveness.DRAINING, Liveness.DECOMMISSIONING)
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


def _ranges_row(status: Any) -> list[Cell]:
    """A primary holds the lease of all its ranges, a standby none. Raft's leaders have no counterpart, and which
    ranges are in trouble is in nodes/{node_id}/ranges/ only."""
    ranges = _of_store(status, "ranges")
    return [None, ranges if status.role else None, ranges, None, None]


def _stats_row(status: Any) -> list[Cell]:
    """PostgreSQL knows how large its databases are, not how much of that is keys, values or open writes."""
    return [_of_store(status, "livebytes"), None, None, None, None]


def _decommission_row(status: Any) -> list[Cell]:
    from rangeland.wire.nodes import Liveness

    membership = status.membership or None
    return [
        _of_store(status, "replicas"),
        None if membership is None else membership != "active",
        membership,
        status.liveness_status == Liveness.DRAINING,
    ]


def _of_store(status: Any, name: str) -> int | None:
    """None while it isn't known. A node has one store, with the node's number."""
    value = status.store_metrics.get(status.node_id, {}).get(name)
    return None if value is None else int(value)
