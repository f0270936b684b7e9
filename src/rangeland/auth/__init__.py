"""auth/: logging in by connecting, the users' web sessions, and who may do what.

Not here: the table of web sessions (state/) and status codes (api/). Read web_sessions.py first.
"""

from rangeland.auth.web_sessions import Caller, WebSessionKeeper

__all__ = ["Caller", "WebSessionKeeper"]
