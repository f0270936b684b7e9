"""`rangeland auth-session`: sessions of the API's users, made with the cluster key instead of a password."""

from __future__ import annotations

import sys
from typing import Any

import click

from rangeland.cli.duration import Duration
from rangeland.cli.format import format_option, print_rows
from rangeland.cli.settings import read_settings, takes_settings


@click.group("auth-session")
def command() -> None:
    """Make, end and list the sessions of the API's users.

    Whoever can read the cluster key in --certs-dir is trusted: no password is asked.
    """


@command.command("login")
@click.argument("username")
@click.option("--expire-after", type=Duration(), default="1h", show_default=True, help="How long it lives: 4h30m.")
@click.option("--only-cookie", is_flag=True, help="Print the cookie and nothing else.")
@takes_settings("auth-session")
@format_option
def log_in(username: str, expire_after: Any, only_cookie: bool, output_format: str | None, **flags: Any) -> None:
    """Make a session for an existing role.

    While the cluster has no primary, it lives for 15 minutes at most, in the nodes' memory.
    """
    from rangeland.cli.asking import ask_node, node_url
    from rangeland.cluster.questions import LOG_USER_IN
    from rangeland.errors import RangelandError
    from rangeland.wire.members import SessionToMake

    values = read_settings("auth-session", flags)
    params = SessionToMake(username=username, lifetime_s=expire_after.total_seconds())
    result = ask_node(values, LOG_USER_IN, params)
    if result.refused:
        raise RangelandError(f'user "{username}" does not exist')
    secure = "" if values["insecure"] else "; Secure"
    cookie = f"session={result.token}; Path=/; HttpOnly{secure}"
    if only_cookie:
        click.echo(cookie)
        return
    print_rows(["username", "session ID", "authentication cookie"], [[username, result.id, cookie]], output_format)
    if sys.stdout.isatty():
        url = node_url(values)
        ca = f"--cacert {values['certs_dir']}/ca.crt " if url.startswith("https") else ""
        header = f"X-Cockroach-API-Session: {result.token}"
        click.echo(f"# curl {ca}-H '{header}' {url}/api/v2/nodes/", err=True)


@command.command("logout")
@click.argument("username")
@takes_settings("auth-session")
@format_option
def log_out(username: str, output_format: str | None, **flags: Any) -> None:
    """End all sessions of a user, on every node."""
    from rangeland.cli.asking import ask_node
    from rangeland.cluster.questions import LOG_USER_OUT
    from rangeland.wire.members import UserParams

    ended = ask_node(read_settings("auth-session", flags), LOG_USER_OUT, UserParams(username=username))
    rows = [[each.username, each.id, each.revoked] for each in ended.sessions]
    print_rows(["username", "session ID", "revoked"], rows, output_format)


@command.command("list")
@takes_settings("auth-session")
@format_option
def list_sessions(output_format: str | None, **flags: Any) -> None:
    """List the sessions of all users, oldest first; revoked is NULL for those that live."""
    from rangeland.cli.asking import ask_node
    from rangeland.cluster.questions import LIST_WEB_SESSIONS
    from rangeland.wire.members import UserParams

    found = ask_node(read_settings("auth-session", flags), LIST_WEB_SESSIONS, UserParams())
    rows = [
        [each.username, each.id, each.created, each.expires, each.revoked, each.last_used] for each in found.sessions
    ]
    print_rows(["username", "session ID", "created", "expires", "revoked", "last used"], rows, output_format)
