"""Inside a node under test: SIGUSR2 makes it write how many asyncio tasks it has. Python runs this at its start."""

import asyncio.tasks
import os
import signal
from pathlib import Path
from types import FrameType


def _write_count(_number: int, _frame: FrameType | None) -> None:
    tasks = [task for task in list(asyncio.tasks._all_tasks) if not task.done()]  # type: ignore[attr-defined]
    place = Path(os.environ["CHAOS_TASKS"])
    draft = place.with_suffix(".new")
    draft.write_text(str(len(tasks)), "utf-8")
    draft.replace(place)


if "CHAOS_TASKS" in os.environ:
    signal.signal(signal.SIGUSR2, _write_count)
