"""Ports that are free, and those that aren't."""

import socket

import pytest

from rangeland.engine.ports import free_port, require_free_port
from rangeland.errors import EngineError


def test_a_free_port_is_accepted() -> None:
    require_free_port(free_port(), setting="--port")


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_taken_port_is_refused_with_the_flag_that_helps(family: socket.AddressFamily, address: str) -> None:
    with socket.socket(family) as taken:
        taken.bind((address, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EngineError, match=rf"port {port} of {address} .*in use.*--port"):
            require_free_port(port, setting="--port")


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_that_does_not_exist_is_refused(port: int) -> None:
    with pytest.raises(EngineError, match=f"port {port} does not exist"):
        require_free_port(port, setting="--port")
