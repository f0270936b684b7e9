"""The answer of /health/. Source: Cluster API v2.0, /health/."""

from msgspec import Struct


class HealthAnswer(Struct, frozen=True):
    """Always `{}`: the status code is the message."""
