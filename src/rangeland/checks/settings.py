"""Settings that put data at risk, that a failover would change, or that wait for a restart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from msgspec import Struct

from rangeland.checks.check import Check, Reading, View
from rangeland.checks.words import literal
from rangeland.wire.problems import Problem, Severity


class SettingRow(Struct, frozen=True):
    """A row of pg_settings, as a new connection finds it."""

    name: str
    value: str  # with its unit; "" of one that only waits for a restart
    number: int | None  # the same without its unit; None: it is no integer
    context: str  # "postmaster": it takes a restart
    source: str  # where the value comes from, such as "default", "configuration file", "command line"
    waits: bool  # another value is in a file, and waits for a restart


@dataclass(frozen=True, slots=True)
class Danger:
    """A value that no server with data in it should have."""

    value: str
    safe: str
    severity: Severity
    why: str


SOURCE = "pg_settings"
SETTINGS = Reading("settings", SettingRow, changes_with="settings_loaded")

DANGERS = {
    "fsync": Danger(
        "off", "on", Severity.CRITICAL, "after a crash of the machine the data directory can be damaged beyond repair"
    ),
    "full_page_writes": Danger(
        "off", "on", Severity.CRITICAL, "a page that was half written at a crash of the machine stays damaged"
    ),
    "zero_damaged_pages": Danger(
        "on", "off", Severity.CRITICAL, "a damaged page is taken for an empty one: its rows vanish without an error"
    ),
    "ignore_invalid_pages": Danger(
        "on", "off", Severity.CRITICAL, "recovery goes on past pages that are missing or damaged: changes are lost"
    ),
    "ignore_checksum_failure": Danger(
        "on", "off", Severity.CRITICAL, "damaged pages are read as if they were whole, and spread"
    ),
    "data_sync_retry": Danger(
        "on", "off", Severity.WARNING, "a write that the disk has lost can be taken for done on its second try"
    ),
    "autovacuum": Danger(
        "off", "on", Severity.WARNING, "tables bloat and plans go stale until the forced vacuum against wraparound"
    ),
    "track_counts": Danger(
        "off", "on", Severity.WARNING, "autovacuum doesn't know what to do, and the statistics are empty"
    ),
}

# These a standby must have at least as large as the primary, or it stops replaying.
# Source: PostgreSQL's manual, Hot Standby, Administrator's Overview.
AT_LEAST = (
    "max_connections",
    "max_locks_per_transaction",
    "max_prepared_transactions",
    "max_wal_senders",
    "max_worker_processes",
)
# A failover to a server with other ones makes things slower or faster, and not otherwise.
OF_SPEED = frozenset(
    (
        "autovacuum_max_workers",
        "autovacuum_naptime",
        "autovacuum_vacuum_cost_delay",
        "autovacuum_vacuum_cost_limit",
        "autovacuum_vacuum_scale_factor",
        "autovacuum_work_mem",
        "checkpoint_timeout",
        "deadlock_timeout",
        "default_statistics_target",
        "effective_cache_size",
        "hash_mem_multiplier",
        "maintenance_work_mem",
        "max_parallel_workers",
        "max_parallel_workers_per_gather",
        "max_wal_size",
        "random_page_cost",
        "seq_page_cost",
        "shared_buffers",
        "temp_buffers",
        "wal_compression",
        "work_mem",
    )
)
LISTS = ("session_preload_libraries", "shared_preload_libraries")
WAITING = (
    "SELECT s.name, s.setting AS runs_with, f.setting AS waits, f.sourcefile, f.sourceline "
    "FROM pg_settings AS s LEFT JOIN pg_file_settings AS f ON f.name = s.name "
    "WHERE s.name IN ({names}) ORDER BY s.name, f.seqno"
)
ENOUGH_NAMES = 10  # of settings that are told in a sentence

Rows = dict[int, SettingRow]  # of one setting, by node id


def judge(view: View) -> Iterator[Problem]:
    """One problem a setting; one a node for all that wait for a restart there."""
    by_node = view.rows(SETTINGS)
    for node_id, rows in by_node.items():
        if waiting := sorted(row.name for row in rows if row.waits):
            yield _waiting(node_id, waiting)
    reference_id = view.primary_id if view.primary_id in by_node else min(by_node, default=0)
    for name, found in _by_setting(by_node).items():
        if dangerous := _dangerous(name, found):
            yield _danger(name, dangerous)
        elif reference_id in found and not any(row.waits for row in found.values()):
            differing = {each: row for each, row in found.items() if row.value != found[reference_id].value}
            if differing:
                yield _differing(name, found, differing, reference_id)


def _by_setting(by_node: Mapping[int, Sequence[SettingRow]]) -> dict[str, Rows]:
    """Those that are compared, in the order of their names."""
    found: dict[str, Rows] = {}
    for node_id, rows in by_node.items():
        for row in rows:
            if row.value or not row.waits:
                found.setdefault(row.name, {})[node_id] = row
    return dict(sorted(found.items()))


def _dangerous(name: str, found: Rows) -> Rows:
    danger = DANGERS.get(name)
    return {each: row for each, row in found.items() if danger is not None and row.value == danger.value}


def _danger(name: str, found: Rows) -> Problem:
    danger = DANGERS[name]
    return Problem(
        kind="setting_dangerous",
        severity=danger.severity,
        node_id=_one(found),
        object=name,
        summary=f"{name} is {danger.value}: {danger.why}",
        evidence=_evidence(found, found),
        source=SOURCE,
        next_step=f"Set it {danger.safe} on {_places(found)}. " + _how(found),
        sql=_alter(name, danger.safe, found),
        run_on_node_id=min(found),
    )


def _differing(name: str, found: Rows, differing: Rows, reference_id: int) -> Problem:
    """`found` has the setting of every server, `differing` of those that don't have that node's value."""
    reference = found[reference_id]
    is_less = name in AT_LEAST and any((row.number or 0) < (reference.number or 0) for row in differing.values())
    speed = name in OF_SPEED
    values = f"{_shown_each({reference_id: reference})}, but {_shown_each(differing)}"
    effect = "a standby with less than the primary stops replaying" if is_less else "a failover would change it"
    return Problem(
        kind="setting_differs",
        severity=Severity.CRITICAL if is_less else Severity.INFO if speed else Severity.WARNING,
        node_id=_one(differing),
        object=name,
        summary=f"{name} is {values}: {effect}",
        evidence=_evidence(found, differing),
        source=SOURCE,
        next_step=f"Decide which is right; the statement makes it as on node {reference_id}. {_how(differing)}",
        sql=_alter(name, reference.value, differing),
        run_on_node_id=min(differing),
    )


def _waiting(node_id: int, names: Sequence[str]) -> Problem:
    told = ", ".join(names[:ENOUGH_NAMES]) + (" and others" if len(names) > ENOUGH_NAMES else "")
    listed = ", ".join(literal(name) for name in names)
    return Problem(
        kind="settings_pending_restart",
        severity=Severity.WARNING,
        node_id=node_id,
        object=names[0] if len(names) == 1 else "",
        summary=f"the configuration files have other values than the server runs with: {told}; the next restart, "
        "planned or not, will bring them in",
        evidence={"settings": told, "count": len(names)},
        source="pg_settings, pending_restart",
        next_step="Look at the values that wait (as a superuser). Restart the server at a time of your choice, "
        "standbys first where a value grows; or write into the files what the server runs with, and reload. (Only "
        "to take a line out is not enough: PostgreSQL then goes on to say that the setting waits.)",
        sql=WAITING.format(names=listed),
        run_on_node_id=node_id,
    )


def _one(found: Rows) -> int:
    """The only node of them; 0: there are more."""
    return min(found) if len(found) == 1 else 0


def _shown(row: SettingRow) -> str:
    return row.value or "empty"


def _shown_each(found: Rows) -> str:
    return ", ".join(f"{_shown(row)} on node {node_id}" for node_id, row in sorted(found.items()))


def _places(found: Rows) -> str:
    return "node" + ("s " if len(found) > 1 else " ") + ", ".join(map(str, sorted(found)))


def _evidence(found: Rows, wrong: Rows) -> dict[str, str | int | float | bool]:
    values = {f"node_{node_id}": row.value for node_id, row in sorted(found.items())}
    return {**values, "set_by": wrong[min(wrong)].source}


def _how(found: Rows) -> str:
    """What else it takes."""
    row = found[min(found)]
    if row.source == "command line":
        return "It is set where the server is started, by a tool such as Patroni: change it there."
    if row.context == "postmaster":
        return "It takes a restart of that server: of the standbys first where a value grows."
    return "Then let that server read it: SELECT pg_reload_conf()."


def _alter(name: str, value: str, found: Rows) -> str:
    """One statement, as ALTER SYSTEM must be; "" where the command line would outrank it."""
    if found[min(found)].source == "command line":
        return ""
    values = [part.strip() for part in value.split(",")] if name in LISTS else [value]
    return f"ALTER SYSTEM SET {name} = {', '.join(literal(each).strip() for each in values)}"


CHECK = Check(
    name="settings",
    kinds={
        "setting_dangerous": "A setting that puts data at risk.",
        "setting_differs": "A setting that a failover would change, as the servers don't have the same value.",
        "settings_pending_restart": "Settings in the files that the server doesn't run with until it is restarted.",
    },
    judge=judge,
    readings=(SETTINGS,),
)
