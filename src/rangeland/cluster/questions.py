"""Every question that one node asks another: its path, parameters, answer, and name in texts of errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from msgspec import Struct

from rangeland.wire import members as m
from rangeland.wire import parts as p
from rangeland.wire.databases import DatabasesAnswer
from rangeland.wire.events import EventsAnswer
from rangeland.wire.nodes import NodesAnswer
from rangeland.wire.problems import ProblemsAnswer
from rangeland.wire.users import UsersAnswer

P = TypeVar("P", bound=Struct)
A = TypeVar("A", bound=Struct)


@dataclass(frozen=True, slots=True)
class Question(Generic[P, A]):
    """`path` is what follows /_peer/v1/."""

    path: str
    takes: type[P]
    returns: type[A]


SESSIONS = Question("sessions", p.SessionsParams, p.ListPart)
SIGNAL_SESSION = Question("signal_session", p.SignalParams, p.SignalPart)
STATUS = Question("status", p.Nothing, p.StatusPart)
RANGES = Question("ranges", p.RangesParams, p.ListPart)
RANGE = Question("range", p.RangeParams, p.RangePart)
HOT_RANGES = Question("hot_ranges", p.HotParams, p.HotPart)
PROBLEMS = Question("problems", p.Nothing, p.ProblemsPart)

# Every server of the cluster knows the answer: one node is asked.
DATABASES = Question("databases", p.PageParams, DatabasesAnswer)
DATABASE = Question("database", p.DatabaseParams, p.DatabasePart)
DATABASE_GRANTS = Question("database_grants", p.DatabaseParams, p.DatabaseGrantsPart)
DATABASE_TABLES = Question("database_tables", p.DatabaseParams, p.DatabaseTablesPart)
TABLE = Question("table", p.TableParams, p.TablePart)
EVENTS = Question("events", p.EventsParams, EventsAnswer)
USERS = Question("users", p.PageParams, UsersAnswer)

REPLICATION = Question("replication", p.Nothing, p.ReplicationPart)

HELLO = Question("hello", m.Hello, m.HelloAnswer)
WATCH = Question("watch", m.WatchParams, m.WatchAnswer)
REVOKE = Question("revoke", m.Revocation, p.Nothing)
KEEP_SESSION = Question("keep_session", m.OfflineSession, p.Nothing)
LEARN_MEMBERS = Question("learn_members", m.Members, p.Nothing)
GRANT = Question("grant", m.GrantParams, m.Grant)

# Only the primary's node answers these; the others say that they are not.
REGISTER = Question("register", m.Registration, m.Members)
WRITE_MEMBERSHIP = Question("write_membership", m.MembershipChange, m.Members)
KEEP_STATUS = Question("keep_status", m.StatusToKeep, p.Nothing)
KEEP_EVENTS = Question("keep_events", m.EventsToKeep, p.Nothing)
NUMBER_DATABASES = Question("number_databases", m.DatabasesToNumber, m.DatabaseNumbers)
PRIMARY_REPLICATION = Question("primary_replication", p.Nothing, p.ReplicationPart)
SIGNAL_RIGHT = Question("signal_right", p.SignalRightParams, p.SignalRight)
LOGIN = Question("login", m.LoginParams, m.LoginResult)
EXCHANGE_SESSION = Question("exchange_session", m.SessionToExchange, m.LoginResult)
MAKE_SESSION = Question("make_session", m.SessionToMake, m.LoginResult)
WRITE_REVOCATION = Question("write_revocation", m.Revocation, p.Nothing)

# Asked by the commands on a node's host, with the cluster key instead of a login.
LIST_PROBLEMS = Question("list_problems", p.Nothing, ProblemsAnswer)
LIST_NODES = Question("list_nodes", p.Nothing, NodesAnswer)
CHANGE_MEMBERSHIP = Question("change_membership", m.MembershipChange, m.Members)
DRAIN = Question("drain", m.DrainParams, p.Nothing)
LIST_WEB_SESSIONS = Question("list_web_sessions", m.UserParams, m.WebSessions)
LOG_USER_IN = Question("log_user_in", m.SessionToMake, m.LoginResult)
LOG_USER_OUT = Question("log_user_out", m.UserParams, m.WebSessions)

QUESTIONS: dict[str, Question[Struct, Struct]] = {
    question.path: question for question in globals().values() if isinstance(question, Question)
}
