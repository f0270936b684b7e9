"""A peer: the server and the framework that a node has, answering the bytes of a file to everybody.

`python -m bench.constant PORT FILE [CERTS_DIR]`
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rangeland.node.http import HttpServer
from rangeland.tls import read_node_material

PATH = "/constant"


async def serve(port: int, body: bytes, certs_dir: Path | None) -> None:
    """Until SIGTERM."""

    async def answer(_request: Request) -> Response:
        return Response(body, media_type="application/json")

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    app = Starlette(routes=[Route(PATH, answer)])
    tls = read_node_material(certs_dir) if certs_dir else None
    server = HttpServer(app, host="127.0.0.1", port=port, tls=tls)
    await server.start()
    await stop.wait()
    await server.stop(timeout_s=1.0)


if __name__ == "__main__":
    _, port, file, *certs = sys.argv
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(port), Path(file).read_bytes(), Path(certs[0]) if certs else None))
