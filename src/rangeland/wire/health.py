"""The answers of /health/, in v2 and at the root. Source: Cluster API v2.0, /health/ and non-v2 HTTP."""

from msgspec import Struct


class HealthAnswer(Struct, frozen=True):
    """Always `{}`: the status code is the message."""


class UnreadyAnswer(Struct, frozen=True):
    """What /health at the root says with 503 while this node should get no traffic."""

    error: str  # why
    code: int  # gRPC's word for unavailable: 14
    message: str  # as error
    details: list[str] = []  # always empty
