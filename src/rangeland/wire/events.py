"""The event log as /events/ shows it, and what is told of each type of event. Source: Cluster API v2.0, /events/.

The names of an event's fields are spelled as the reference spells them. In every info come first `Timestamp` (when it
happened, ns since 1970, by the clock of the node that tells it) and `EventType`. A field that is zero or empty is
left out.
"""

import json
from typing import ClassVar

from msgspec import Struct, to_builtins


class Event(Struct, frozen=True, omit_defaults=True):
    """One thing that happened."""

    timestamp: str  # RFC 3339, UTC, always present: when it happened, by the clock of the node that tells it
    event_type: str = ""
    reporting_id: int = 0  # id of the node that tells it
    info: str = ""  # JSON as text: the fields of its type
    unique_id: bytes = b""  # 16 bytes, chosen when it happened: the same event never has two


class EventsAnswer(Struct, frozen=True, omit_defaults=True):
    """Events, newest first."""

    events: list[Event]
    next: int = 0  # offset of the next page; absent on the last one


class EventInfo(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is told of an event; each type is a class below."""

    event_type: ClassVar[str] = ""


class NodeJoin(EventInfo, frozen=True, kw_only=True, omit_defaults=True):
    """A node's process started for the first time."""

    event_type: ClassVar[str] = "node_join"

    NodeID: int
    StartedAt: int  # when its process started, ns since 1970, by its own clock
    LastUp: int = 0  # as StartedAt
    Address: str = ""  # HOST:PORT of its API


class NodeRestart(EventInfo, frozen=True, kw_only=True, omit_defaults=True):
    """The process of a node that was there before started again."""

    event_type: ClassVar[str] = "node_restart"

    NodeID: int
    StartedAt: int  # as of NodeJoin
    LastUp: int = 0  # when its last complete status was kept, ns since 1970: it was up then, and maybe for longer
    Address: str = ""


class NodeLeft(EventInfo, frozen=True, kw_only=True, omit_defaults=True):
    """A node went silent, or its server went down, for more than 5 s. Told by the primary's node."""

    event_type: ClassVar[str] = "node_left"

    NodeID: int
    Reason: str  # "silent": the node doesn't answer; "server down": it does, its server doesn't
    Since: int  # when that was noticed first, ns since 1970: silence by the teller's clock, else by the node's own
    Cause: str = ""  # what the network or the server said, at most 200 characters


class NodeReturn(EventInfo, frozen=True, kw_only=True, omit_defaults=True):
    """A node that had left answers again, and its server does. Told by the primary's node."""

    event_type: ClassVar[str] = "node_return"

    NodeID: int
    Reason: str = ""  # why it had left, as of NodeLeft
    Since: int = 0  # since when it had been gone, as of NodeLeft


class NodePromoted(EventInfo, frozen=True, kw_only=True, omit_defaults=True):
    """Another server than before takes writes. Told by its node."""

    event_type: ClassVar[str] = "node_promoted"

    NodeID: int  # of the node with the new primary
    OldNodeID: int = 0  # of the node that had the primary before, by the table `settings`
    Timeline: int  # of the new primary's WAL
    OldTimeline: int = 0  # of the old one's


class NodeDecommissioning(EventInfo, frozen=True, kw_only=True, omit_defaults=True):
    """A node was told to leave for good."""

    event_type: ClassVar[str] = "node_decommissioning"

    RequestingNodeID: int  # the primary's, which wrote it down
    TargetNodeID: int


class NodeDecommissioned(EventInfo, frozen=True, kw_only=True, omit_defaults=True):
    """A node left for good."""

    event_type: ClassVar[str] = "node_decommissioned"

    RequestingNodeID: int
    TargetNodeID: int


class NodeRecommissioned(EventInfo, frozen=True, kw_only=True, omit_defaults=True):
    """A node that was told to leave is a full member again."""

    event_type: ClassVar[str] = "node_recommissioned"

    RequestingNodeID: int
    TargetNodeID: int


class UserLogin(EventInfo, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody got a session token of the API."""

    event_type: ClassVar[str] = "user_login"

    User: str  # the role's name
    RemoteAddress: str = ""  # the client's IP address, or a trusted proxy's word for it; absent for a command
    # "password"; "link": another session was exchanged for this one; "cluster key": by a command on a node's host
    Method: str


class UserLoginFailed(EventInfo, frozen=True, kw_only=True, omit_defaults=True):
    """Logins that failed within a minute, on the whole cluster, as one event."""

    event_type: ClassVar[str] = "user_login_failed"

    Count: int = 0  # refused by the server, passwords and names alike
    TurnedAway: int = 0  # not tried, as they came too fast: too many wrong ones before, or too many at once
    Since: int  # the first of them, ns since 1970
    Users: list[str] = []  # at most 10 names, those tried most often first; only of roles that there are
    RemoteAddresses: list[str] = []  # at most 10, those with most attempts first


class UserLogout(EventInfo, frozen=True, kw_only=True, omit_defaults=True):
    """Web sessions of a user were ended."""

    event_type: ClassVar[str] = "user_logout"

    User: str
    RemoteAddress: str = ""  # as of UserLogin
    Method: str  # "token": by who had it; "cluster key": by a command on a node's host
    Count: int = 1  # how many sessions ended; absent when it is one


class SessionSignal(EventInfo, frozen=True, kw_only=True, omit_defaults=True):
    """What is told of a session that somebody signalled; of its statement nothing."""

    User: str  # who asked for it
    RemoteAddress: str = ""  # as of UserLogin
    NodeID: int  # of the node beside the session's server, which tells it
    PID: int
    SessionUser: str = ""  # the role that the session is of
    DatabaseName: str = ""
    ApplicationName: str = ""  # as its client says


class SessionCancelled(SessionSignal, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody had the statement of a session cancelled."""

    event_type: ClassVar[str] = "session_cancelled"


class SessionTerminated(SessionSignal, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody had a session ended."""

    event_type: ClassVar[str] = "session_terminated"


class EventsDropped(EventInfo, frozen=True, kw_only=True, omit_defaults=True):
    """A node had to forget events, as nobody wrote them down in time."""

    event_type: ClassVar[str] = "events_dropped"

    Count: int  # the oldest that it held


INFOS: tuple[type[EventInfo], ...] = tuple(
    each for each in (*EventInfo.__subclasses__(), *SessionSignal.__subclasses__()) if each.event_type
)


def info_text(info: EventInfo, *, at_ns: int) -> str:
    """The info of an event, as it is kept and shown: JSON in ASCII, so that a database in any encoding takes it."""
    told = {"Timestamp": at_ns, "EventType": info.event_type, **to_builtins(info)}
    return json.dumps(told, separators=(",", ":"))
