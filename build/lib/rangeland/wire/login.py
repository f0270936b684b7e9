"""The answers of /login/ and /logout/. Source: Cluster API v2.0, /login/ and /logout/."""

from msgspec import Struct


class LoginAnswer(Struct, frozen=True):
    """Nothing but the token: clients cut it out with `sed`, so there is never a second field."""

    session: str  # standard base64: no quote, colon, semicolon or blank


class LogoutAnswer(Struct, frozen=True):
    """What /logout/ says once the web session is revoked on every node that could be told."""

    logged_out: bool = True
