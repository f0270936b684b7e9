"""TCP ports of this host: a free one for a test, or a clear word that one is taken."""

import errno
import socket

from rangeland.errors import EngineError

LOOPBACK = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


def free_port() -> int:
    """A loopback port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def require_free_port(port: int, *, setting: str) -> None:
    """Raises: EngineError where the port is taken or can't be used; `setting` is the flag to change it."""
    if not 0 < port < 65536:
        raise EngineError(f"port {port} does not exist: choose others with {setting}")
    for family, address in LOOPBACK:
        problem = _binding_problem(family, address, port)
        if problem:
            raise EngineError(f"port {port} of {address} can't be used ({problem}): choose others with {setting}")


def _binding_problem(family: socket.AddressFamily, address: str, port: int) -> str | None:
    """Why a server couldn't listen there; None where it could, or where this host has no such address."""
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do
            probe.bind((address, port))
    except OSError as exc:
        absent = exc.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
        return None if absent else "in use" if exc.errno == errno.EADDRINUSE else exc.strerror
    return None
