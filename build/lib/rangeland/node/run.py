"""The process of a node: its event loop, from the first line of log to the exit."""

from __future__ import annotations

import asyncio

from rangeland.node.node import make_node
from rangeland.node.settings import NodeSettings


def run_node(settings: NodeSettings) -> None:
    """Serve until SIGTERM or SIGINT. Raises: an error of ours where the node can't begin."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings))


async def _serve(settings: NodeSettings) -> None:
    await make_node(settings).run()


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not on Windows
        return None
    return uvloop.Loop
