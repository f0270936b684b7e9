"""How near each database is to running out of transaction ids, and whether somebody keeps it there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from msgspec import Struct

from rangeland.checks.check import Limit, Reading, View
from rangeland.wire.problems import Severity

Evidence = dict[str, str | int | float | bool]


class AgeRow(Struct, frozen=True):
    """A database; ages in transactions or multixacts. A failsafe is where VACUUM leaves all else to get done."""

    database: str
    may_be_visited: bool
    xid_age: int
    xid_freeze_age: int  # autovacuum is forced to come at this age
    xid_failsafe_age: int
    multixact_age: int
    multixact_freeze_age: int
    multixact_failsafe_age: int


AGES = Reading("database_ages", AgeRow)
AGE_RATIO = Limit(
    "wraparound_age_ratio",
    2.0,
    "as the alert TransactionIdsOld: at autovacuum_freeze_max_age autovacuum is forced to come; at twice that age it "
    "isn't getting there",
)
# Source: PostgreSQL, "Preventing Transaction ID Wraparound Failures": warnings begin with forty million left, and
# with three million left no new ids are given. varsup.c and multixact.c have the same figures.
WRAP_AGE = 2**31 - 1
WARNED_WITH = 40_000_000
STOPPED_WITH = 3_000_000


@dataclass(frozen=True, slots=True)
class Age:
    """One of the two ages of a database, and its limits."""

    row: AgeRow
    unit: str  # "transactions" or "multixacts"
    age: int
    freeze_age: int
    failsafe_age: int  # as VACUUM takes it
    worrying_age: float

    @property
    def left(self) -> int:
        """Ids that can be given until none are."""
        return max(0, WRAP_AGE - STOPPED_WITH - self.age)

    @property
    def severity(self) -> Severity | None:
        """None: all is well."""
        if self.age > min(self.failsafe_age, WRAP_AGE - WARNED_WITH):
            return Severity.CRITICAL
        return Severity.WARNING if self.age > self.worrying_age else None

    @property
    def evidence(self) -> Evidence:
        setting = (
            "autovacuum_freeze_max_age" if self.unit == "transactions" else "autovacuum_multixact_freeze_max_age"
        )
        failsafe = "vacuum_failsafe_age" if self.unit == "transactions" else "vacuum_multixact_failsafe_age"
        return {
            f"age_{self.unit}": self.age,
            f"left_{self.unit}": self.left,
            setting: self.freeze_age,
            failsafe: self.failsafe_age,
        }


def ages(view: View) -> Iterator[tuple[Age, Age]]:
    """Of each database by transactions and by multixacts; the oldest databases first."""
    for row in view.of_cluster(AGES):
        yield (
            _age(view, row, "transactions", row.xid_age, row.xid_freeze_age, row.xid_failsafe_age),
            _age(view, row, "multixacts", row.multixact_age, row.multixact_freeze_age, row.multixact_failsafe_age),
        )


def _age(view: View, row: AgeRow, unit: str, age: int, freeze_age: int, failsafe_age: int) -> Age:
    # VACUUM takes a failsafe below 105 % of the other for that. Source: vacuum.c, vacuum_xid_failsafe_check.
    failsafe = max(failsafe_age, int(freeze_age * 1.05))
    return Age(row, unit, age, freeze_age, failsafe, min(view.limit(AGE_RATIO) * freeze_age, failsafe))


@dataclass(frozen=True, slots=True)
class Threat:
    """A database that gets too old because somebody holds back vacuum."""

    severity: Severity
    text: str
    evidence: Evidence


def threat_by(view: View, held_age: int) -> Threat | None:
    """What comes of holding back vacuum so long, in whichever database; None: nothing yet.

    It is the cause where vacuum, if it came now, could not make the database young enough. A session of one database
    keeps every other from getting young, too: by the catalogues that all of them share.
    """
    for age, _ in ages(view):
        if age.severity and is_explained(age, held_age):
            return Threat(
                age.severity,
                f"while database {age.row.database} has {age.left:,} transactions left",
                {
                    "oldest_database": age.row.database,
                    **{f"oldest_{key}": each for key, each in age.evidence.items()},
                },
            )
    return None


def is_explained(age: Age, held_age: int) -> bool:
    """Whether a database of that age is as old as it is for want of a horizon that moves."""
    return age.unit == "transactions" and held_age > age.worrying_age
