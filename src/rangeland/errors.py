"""Errors that Rangeland raises: each text is one line that says what was wrong, on what, and what to do."""


class RangelandError(Exception):
    """The root of all errors of ours; commands print its text on one line and exit with 1."""


class SettingError(RangelandError):
    """A flag, an environment variable or a line of the configuration file is wrong."""


class TlsError(RangelandError):
    """A certificate, a private key or the cluster key is missing, wrong or readable by others."""


class EngineError(RangelandError):
    """A PostgreSQL server that we run ourselves (demo, tests) could not be made, started or stopped."""


class ListenError(RangelandError):
    """The HTTP address can't be served, for example because another process has the port."""


class ServerError(RangelandError):
    """This node's server refused a statement.

    `sqlstate` is PostgreSQL's five-character code, or None where there was no answer at all.
    """

    def __init__(self, text: str, *, sqlstate: str | None = None) -> None:
        super().__init__(text)
        self.sqlstate = sqlstate


class ServerDownError(ServerError):
    """This node's server can't be reached, is starting up or shutting down, or refuses connections."""


class ServerTimeoutError(ServerDownError):
    """This node's server did not answer in time; the connection has been closed."""


class MissingGrantError(ServerError):
    """The role that Rangeland uses lacks a privilege, which the text names."""


class StateError(RangelandError):
    """The schema `rangeland` is missing, of another version, or belongs to another cluster."""


class RefusedError(RangelandError):
    """What was asked would do harm or makes no sense now; the text says why, and what to do first."""


class PeerError(RangelandError):
    """Another node did not answer, or not in a way that can be used.

    `reached` tells a node that answered badly from one that could not be reached at all.
    """

    def __init__(self, text: str, *, reached: bool = False) -> None:
        super().__init__(text)
        self.reached = reached


class StrangerError(PeerError):
    """Another node says that this one is no member of its cluster."""

    def __init__(self, text: str) -> None:
        super().__init__(text, reached=True)


class OlderPeerError(PeerError):
    """Another node doesn't know the question: it is of an older version."""

    def __init__(self, text: str) -> None:
        super().__init__(text, reached=True)


class NotPrimaryError(RangelandError):
    """Something that only the primary's node may do was asked of another node."""


class NoPrimaryError(RangelandError):
    """No node of the cluster has a primary that can be reached now."""
