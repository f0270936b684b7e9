"""What nodes tell each other about the cluster and its web sessions; private to Rangeland.

Two neighbouring versions of Rangeland speak it to each other: new fields need a default.
"""

from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct

Id = Annotated[int, Meta(ge=0, le=2**63 - 1)]  # of a web session
NodeId = Annotated[int, Meta(ge=0, le=2**31 - 1)]  # 0: none yet
Oid = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Moment = Annotated[int, Meta(ge=0, le=2**63 - 1)]  # s since 1970
LIFETIME_S = 100 * 366 * 86400  # what a session may ask for at most: longer ends after the last date that there is


class Member(Struct, frozen=True, kw_only=True):
    """A registered node."""

    node_id: NodeId
    http_addr: str  # HOST:PORT under which the others reach it, and by which it is known
    sql_addr: str
    membership: str = "active"  # or "decommissioning", "decommissioned"
    membership_version: int = 0  # of two that are told, the higher counts
    status: str | None = None  # its last complete status as JSON; None: none was kept yet
    registered_at_us: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0  # since 1970; 0: not told


class Members(Struct, frozen=True, kw_only=True):
    """Every node that was ever registered, by id."""

    members: list[Member]


class MembershipChange(Struct, frozen=True, kw_only=True):
    """What nodes are to be: "active", "decommissioning" or "decommissioned"."""

    node_ids: list[NodeId]
    membership: Literal["active", "decommissioning", "decommissioned"]


class DrainParams(Struct, frozen=True, kw_only=True):
    """Which node is to take no new clients."""

    node_id: NodeId  # the asked node passes it on to another
    shut_down: bool = False  # and then to end


class Registration(Struct, frozen=True, kw_only=True):
    """A node asks for its id."""

    http_addr: str
    sql_addr: str
    server_id: str = ""  # of its server; "" while that has not been read


class Hello(Struct, frozen=True, kw_only=True):
    """A node introduces itself; answered from memory, unless `look` is set."""

    node_id: NodeId = 0
    http_addr: str = ""
    sql_addr: str = ""
    look: bool = False  # no primary is known: ask your server whether it was promoted
    role: str = "unknown"  # of the asking node's server
    timeline: int = 0
    server_id: str = ""  # of its server; "" while that has not been read


class OfflineSession(Struct, frozen=True, kw_only=True):
    """A web session that lives in the nodes' memory, made while there was no primary to write it."""

    id: Id
    hashed_secret: bytes
    username: str
    expires_at_s: Annotated[float, Meta(ge=0.0)]
    mac: bytes = b""  # by the cluster key over all of it: who passes it on can neither make nor lengthen one


class HelloAnswer(Struct, frozen=True, kw_only=True):
    """What a node knows by heart."""

    node_id: NodeId
    cluster_id: str  # "" until its server was read
    members: list[Member]
    revoked: dict[Id, Moment]  # web sessions that ended: id → when the token expires, s since 1970
    offline: list[OfflineSession] = []  # those that no table holds


class StatusToKeep(Struct, frozen=True, kw_only=True):
    """A node's complete status, for the time when it can't be asked."""

    node_id: NodeId
    sql_addr: str
    status: str  # JSON of a NodeStatus


class WatchParams(Struct, frozen=True, kw_only=True):
    """The primary's node asks how another and its server do."""

    timeline: int  # of the primary


class WatchAnswer(Struct, frozen=True, kw_only=True):
    """How a node's server does; that the node lives is in having answered."""

    down_since_ns: int = 0  # ns since 1970; 0: it is up
    cause: str = ""  # why it is down


class EventToKeep(Struct, frozen=True, kw_only=True):
    """Something that happened and is to be written down."""

    event_id: UUID  # chosen when it happened: written twice it is there once
    happened_at_ns: int  # ns since 1970
    event_type: str
    info: str  # JSON in ASCII


class EventsToKeep(Struct, frozen=True, kw_only=True):
    """What one node has to tell, oldest first."""

    node_id: int
    events: list[EventToKeep]


class DatabasesToNumber(Struct, frozen=True, kw_only=True):
    """Oids of databases that have no number yet."""

    oids: list[Oid]


class DatabaseNumbers(Struct, frozen=True, kw_only=True):
    """The number of each database, by its oid; oid 0 is the shared catalogues."""

    number_by_oid: dict[int, int]


class GrantParams(Struct, frozen=True, kw_only=True):
    """Which web session, and whose rights, should the session not be in the table."""

    id: Id
    username: str = ""


class Grant(Struct, frozen=True, kw_only=True):
    """What one node's server says of a web session and of the rights of its user."""

    found: bool  # a row with a valid MAC
    hashed_secret: bytes = b""
    username: str = ""
    expires_at_s: float = 0.0
    revoked: bool = False
    is_admin: bool = False  # a member of the admin role, with its rights; or a superuser
    is_monitor: bool = False  # a member of pg_monitor
    may_read_redacted: bool = False  # a member of rangeland_redacted
    may_signal: bool = False  # the nodes' role may end sessions: a fact of the cluster, not of this user
    known_user: bool = False
    fresh: bool = False  # from the primary, or from a standby that keeps up
    paused: bool = False  # from a standby whose replay is paused
    replayed_lsn: int = 0  # how far the server that says so is: of two that aren't fresh the later one counts


class LoginParams(Struct, frozen=True, kw_only=True):
    """A password to check; travels over TLS between nodes only."""

    username: str
    password: str
    client_address: str


class SessionToExchange(Struct, frozen=True, kw_only=True):
    """A web session that is to end, and another one of the same user to begin in its place."""

    id: Id
    secret: bytes  # travels over TLS between nodes only
    client_address: str


class SessionToMake(Struct, frozen=True, kw_only=True):
    """A web session for an existing role, asked for with the cluster key instead of a password."""

    username: str
    lifetime_s: Annotated[float, Meta(ge=0.0, le=LIFETIME_S)]


class LoginResult(Struct, frozen=True, kw_only=True):
    """How a login ended: with a token, refused, or too busy to say."""

    token: str = ""
    id: int = 0
    expires_at_s: float = 0.0
    refused: bool = False
    retry_after_s: int = 0  # above 0: too many are logging in


class Revocation(Struct, frozen=True, kw_only=True):
    """Web sessions that ended: id → when the token would have expired, s since 1970."""

    expires_by_id: dict[Id, Moment]


class UserParams(Struct, frozen=True, kw_only=True):
    """A user of the API; "" for all."""

    username: str = ""


class WebSession(Struct, frozen=True, kw_only=True):
    """A web session as listed; times in UTC without a zone, as the reference prints them."""

    id: int
    username: str
    created: str
    expires: str
    revoked: str | None
    last_used: str


class WebSessions(Struct, frozen=True, kw_only=True):
    """Oldest first, at most 10,000."""

    sessions: list[WebSession]
