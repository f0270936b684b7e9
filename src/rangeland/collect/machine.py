"""Readings of the machine and of this process, as dotted metrics."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass

import psutil

_SHORTEST_WINDOW_S = 1.0  # CPU time is counted in ticks of 10 ms: shorter windows show little but rounding


@dataclass(frozen=True, slots=True)
class _CpuReading:
    """Seconds since boot (host) or since the process began, at one moment of the monotonic clock."""

    at: float
    user: float
    system: float
    host_busy: float
    host_total: float


class Machine:
    """This machine and this process.

    CPU shares are those between two readings, the first ones since the process began.
    """

    def __init__(self) -> None:
        self.num_cpus = psutil.cpu_count() or 0  # 0: unknown
        self.total_memory_bytes = int(psutil.virtual_memory().total)
        self._process = psutil.Process()
        age_s = max(0.0, time.time() - self._process.create_time())
        self._last = _CpuReading(time.monotonic() - age_s, 0.0, 0.0, 0.0, 0.0)
        self._shares: dict[str, float] = {}

    def read(self) -> dict[str, float]:
        """Metrics by dotted name: shares are fractions of one core, or of all where the name says
        normalized. In the node's event loop, whose tasks it counts."""
        memory = psutil.virtual_memory()
        cpu = self._read_cpu()
        if not self._shares or cpu.at - self._last.at >= _SHORTEST_WINDOW_S:
            self._shares = _cpu_shares(self._last, cpu, self.num_cpus or 1)
            self._last = cpu
        return {
            **self._shares,
            "sys.cpu.user.ns": cpu.user * 1e9,
            "sys.cpu.sys.ns": cpu.system * 1e9,
            "sys.rss": float(self._process.memory_info().rss),
            "sys.uptime": max(0.0, time.time() - self._process.create_time()),
            "sys.fd.open": float(self._process.num_fds()) if hasattr(self._process, "num_fds") else 0.0,
            "sys.tasks": float(len(asyncio.all_tasks())),
            "sys.host.memory.available": float(memory.available),
            "sys.host.load.1m": os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0,
        }

    def _read_cpu(self) -> _CpuReading:
        own = self._process.cpu_times()
        host = psutil.cpu_times()
        idle = host.idle + getattr(host, "iowait", 0.0)
        # Guests' time is in `user` already. Source: proc(5), /proc/stat.
        total = sum(host) - getattr(host, "guest", 0.0) - getattr(host, "guest_nice", 0.0)
        return _CpuReading(time.monotonic(), own.user, own.system, total - idle, total)


def disk_space(directory: str) -> tuple[int, int] | None:
    """Bytes of the file system that holds the directory, and those free for its owner; None where it isn't
    here."""
    try:
        found = os.statvfs(directory)
    except OSError:
        return None
    return found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize


def _cpu_shares(before: _CpuReading, after: _CpuReading, num_cpus: int) -> dict[str, float]:
    window = max(after.at - before.at, 1e-3)
    user = (after.user - before.user) / window
    system = (after.system - before.system) / window
    host_total = after.host_total - before.host_total
    return {
        "sys.cpu.user.percent": user,
        "sys.cpu.sys.percent": system,
        "sys.cpu.combined.percent-normalized": (user + system) / num_cpus,
        "sys.cpu.host.combined.percent-normalized": (after.host_busy - before.host_busy) / (host_total or 1.0),
    }
