"""A check: the rows it reads, its limits, and the judge that finds problems in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar, cast

import msgspec
from msgspec import Raw, Struct

from rangeland.merge.part import Part
from rangeland.wire.members import Member
from rangeland.wire.parts import ProblemsPart, StatusPart
from rangeland.wire.problems import Problem, Unchecked

R = TypeVar("R", bound=Struct)
ServerRows = Mapping[str, Sequence[Any]]  # of this server's readings that are not of a database, by name


@dataclass(frozen=True, slots=True)
class Reading(Generic[R]):
    """The rows of the block `name` of sql/problems.sql; fields of `row` are its columns in order.

    Of one that is read in each database the first field is the database, which the block doesn't return; it is read
    where `is_wanted`, which takes what the server's other readings said a moment ago, by name, and the database. The
    block `signs` may tell that it would find nothing there.

    Of one of the server `changes_with` may name a block with one value: as long as that is the same, the rows are,
    and are not read again.
    """

    name: str
    row: type[R]
    in_each_database: bool = False
    is_wanted: Callable[[ServerRows, str], bool] = lambda _rows, _database: True
    changes_with: str = ""


@dataclass(frozen=True, slots=True)
class Limit:
    """From where on something is a problem; `source` says why there. Set by `--limits`."""

    name: str  # units last
    default: float
    source: str


@dataclass(frozen=True, slots=True)
class Check:
    """`kinds` are the kinds of problem that `judge` finds, each with what it means."""

    name: str
    kinds: Mapping[str, str]
    judge: Callable[[View], Iterator[Problem]]
    readings: tuple[Reading[Any], ...] = ()
    limits: tuple[Limit, ...] = ()


class View:
    """What all nodes read, for the judges.

    `silent_since_ns`, `clock_offset_s`, `members` and `last_role` are what the asked node knows of the others, by
    node id; `last_role` is their servers' as long as it was known. `limits` has every limit of every check.
    """

    def __init__(
        self,
        parts: Sequence[Part[ProblemsPart]],
        *,
        limits: Mapping[str, float],
        now: datetime,
        silent_since_ns: Mapping[int, int] | None = None,
        clock_offset_s: Mapping[int, float] | None = None,
        members: Mapping[int, Member] | None = None,
        last_role: Mapping[int, str] | None = None,
    ) -> None:
        self.parts = sorted(parts, key=lambda part: part.node_id)
        self.now = now
        self.silent_since_ns = silent_since_ns or {}
        self.clock_offset_s = clock_offset_s or {}
        self.members = members or {}
        self.last_role = last_role or {}
        # Of the nodes that answered, by node id.
        self.statuses: dict[int, StatusPart] = {
            part.node_id: part.value.status for part in self.parts if part.value is not None
        }
        self._limits = limits
        self._rows: dict[str, dict[int, list[Any]]] = {}
        self._unreadable: list[Unchecked] = []

    def limit(self, limit: Limit) -> float:
        return self._limits.get(limit.name, limit.default)

    @property
    def primary_ids(self) -> list[int]:
        """The nodes whose servers take writes: the highest timeline first, then the lowest id, as Cluster has it."""
        statuses = self.statuses
        found = [node_id for node_id, each in statuses.items() if each.server_up and each.role == "primary"]
        return sorted(found, key=lambda node_id: (-statuses[node_id].timeline, node_id))

    @property
    def primary_id(self) -> int:
        """Of two primaries the one that counts; 0: none answers."""
        return next(iter(self.primary_ids), 0)

    def rows(self, reading: Reading[R]) -> dict[int, list[R]]:
        """By node id, of those that could read them."""
        if reading.name not in self._rows:
            self._rows[reading.name] = {}
            for part in self.parts:
                raw = part.value.rows.get(reading.name) if part.value is not None else None
                if raw is not None:
                    self._take(part.node_id, reading, raw)
        return cast(dict[int, list[R]], self._rows[reading.name])

    def _take(self, node_id: int, reading: Reading[R], raw: Raw) -> None:
        try:
            self._rows[reading.name][node_id] = msgspec.json.decode(raw, type=list[reading.row])  # type: ignore[name-defined]
        except msgspec.DecodeError as exc:
            message = f"node {node_id} tells it in another way, as of another version: {exc}"
            self._unreadable.append(Unchecked(node_id=node_id, check=reading.name, message=message))

    def unchecked(self) -> list[Unchecked]:
        """What no node could look at, or tell of, by node id and check."""
        told = [each for part in self.parts if part.value is not None for each in part.value.unchecked]
        return sorted(told + self._unreadable, key=lambda each: (each.node_id, each.check, each.database))

    def of_cluster(self, reading: Reading[R]) -> list[R]:
        """What every server would say alike: the primary's rows, or of another server where there is none."""
        rows = self.rows(reading)
        node_id = self.primary_id if self.primary_id in rows else min(rows, default=0)
        return rows.get(node_id, [])

    def is_whole(self, reading: Reading[R]) -> bool:
        """Whether every node read it, and all of it: only then it can be said that something is nowhere."""
        rows = self.rows(reading)
        failed = {
            each.node_id
            for each in self.unchecked()
            if each.check == reading.name or not (each.check or (each.database and not reading.in_each_database))
        }
        return all(part.node_id in rows and part.node_id not in failed for part in self.parts)


def age_s(view: View, since: datetime | None) -> float:
    """Seconds since then by the asked node's clock, never below 0; 0 where it is not known."""
    return max(0.0, (view.now - since).total_seconds()) if since else 0.0
