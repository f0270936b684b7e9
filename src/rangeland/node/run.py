"""The process of a node: its event loop, from the first line of log to the exit."""

from __future__ import annotations

import asyncio
import gc

from rangeland.node.node import make_node
from rangeland.node.settings import NodeSettings

# Objects that were made and not freed yet before cycles among them are looked for, 1 MB of them or so. By default it
# is 700: a question to 1,000 nodes alone makes a hundred times as many, and a quarter of its time was spent looking.
GC_THRESHOLD = (10_000, 10, 10)


def run_node(settings: NodeSettings) -> None:
    """Serve until SIGTERM or SIGINT. Raises: an error of ours where the node can't begin."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings))


async def _serve(settings: NodeSettings) -> None:
    node = make_node(settings)
    gc.freeze()  # modules and the like: no collection looks at them again
    gc.set_threshold(*GC_THRESHOLD)
    await node.run()


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not on Windows
        return None
    return uvloop.Loop
