"""The answers of /login/ and /logout/. Source: Cluster API v2.0, /login/ and /logout/."""

from msgspec import Struct


class LoginAnswer(Struct, frozen=True):
    """Nothing but the token: clients cut it out with `sed`, so there is never a second field."""

    session: str  # the token: standard base64, no quote, colon, semicolon or blank; "cookie" where a cookie holds it
    # (made by the primary's node; rangeland.web_sessions keeps a hash of its secret)


class LogoutAnswer(Struct, frozen=True):
    """What /logout/ says once the web session is revoked on every node that could be told."""

    logged_out: bool = True  # always true: what else happens is an error
    # (the primary's node, which set rangeland.web_sessions.revoked_at)
