"""The answer of /whoami/, an addition of ours: what a client that holds a cookie can't tell by itself."""

from msgspec import Struct


class WhoamiAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who is asking, and where."""

    username: str  # the role that logged in (session_user); "root" where nobody has to
    is_admin: bool  # a superuser or a member of the admin role (pg_has_role, USAGE)
    is_redacted: bool = False  # other users' statements come without constants (member of rangeland_redacted)
    expires_at: str = ""  # RFC 3339, UTC: when the web session ends; absent where nobody has to log in
    node_id: int  # of the node that answers
    cluster_id: str  # a UUID, made by `init`
    may_cancel: bool  # the nodes may end sessions (pg_signal_backend); whose this user may end, that request says
