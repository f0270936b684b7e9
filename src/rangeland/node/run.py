"""The process of a node: its event loop, from the first line of log to the exit."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

from rangeland.node.node import make_node
from rangeland.node.settings import NodeSettings

# Objects that were made and not freed yet before cycles among them are looked for, 1 MB of them or so. By default it
# is 700: a question to 1,000 nodes alone makes a hundred times as many, and a quarter of its time was spent looking.
GC_THRESHOLD = (10_000, 10, 10)
GRANIAN_END = "shutdown_glue"  # the name of its callback. Source: Granian 2.8, granian/server/embed.py


def run_node(settings: NodeSettings) -> None:
    """Serve until SIGTERM or SIGINT. Raises: an error of ours where the node can't begin."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings))


async def _serve(settings: NodeSettings) -> None:
    asyncio.get_running_loop().set_exception_handler(note_loop_error)
    node = make_node(settings)
    gc.freeze()  # modules and the like: no collection looks at them again
    gc.set_threshold(*GC_THRESHOLD)
    await node.run()


def note_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what nobody awaits, as asyncio does, but for what is no bug of ours and harms nobody."""
    if not (_is_late_write(context) or _is_late_end(context)):
        loop.default_exception_handler(context)


def _is_late_write(context: dict[str, Any]) -> bool:
    """uvloop's TLS had to write while the connection was being closed. Whoever uses that connection is told."""
    exc = context.get("exception")
    is_late = isinstance(exc, RuntimeError) and str(exc).endswith("the handler is closed")
    return is_late and context.get("message") == "Fatal error on SSL protocol"


def _is_late_end(context: dict[str, Any]) -> bool:
    """The last client of a listener left, of which Granian tells a future that is cancelled since nobody waits."""
    return isinstance(context.get("exception"), asyncio.InvalidStateError) and GRANIAN_END in str(
        context.get("message")
    )


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not on Windows
        return None
    return uvloop.Loop
