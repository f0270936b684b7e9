"""Figures and names as sentences and SQL take them."""

from collections.abc import Sequence

_UNITS = ("B", "kB", "MB", "GB", "TB")


def size(size_bytes: int) -> str:
    """`12 MB`: in PostgreSQL's units, as pg_size_pretty writes them."""
    amount, unit = float(size_bytes), 0
    while abs(amount) >= 10 * 1024 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{amount:.0f} {_UNITS[unit]}"


def duration(duration_s: float) -> str:
    """`45 s`, `12 min`, `5 h` or `3 days`: the largest unit of which there are two or more."""
    for unit, unit_s in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if duration_s >= 2 * unit_s:
            return f"{duration_s / unit_s:.0f} {unit}"
    return f"{duration_s:.0f} s"


def lsn(position: int) -> str:
    """A position in the WAL as PostgreSQL writes it: `0/3000148`."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


def known(**values: str | int | float | None) -> dict[str, str | int | float | bool]:
    """Evidence without what is not known: None and ""."""
    return {name: value for name, value in values.items() if value is not None and value != ""}


def quoted(name: str) -> str:
    """A name as SQL takes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as SQL takes it, whatever standard_conforming_strings says."""
    doubled = text.replace("'", "''")
    return " E'" + doubled.replace("\\", "\\\\") + "'" if "\\" in text else f"'{doubled}'"


def call(function: str, pids: Sequence[int]) -> str:
    """Call pg_cancel_backend, or a function of its kind, for each of them."""
    return "SELECT " + ", ".join(f"{function}({pid})" for pid in pids)


def counted(number: int, noun: str) -> str:
    """`1 session`, `12,000 sessions`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
