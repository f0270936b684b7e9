"""`rangeland cert`: make and list certificates and the cluster key. The work is in tls/, imported late."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import click

from rangeland import config
from rangeland.cli.duration import Duration
from rangeland.cli.format import format_option, print_rows
from rangeland.errors import TlsError

_Command = TypeVar("_Command", bound=Callable[..., Any])

_SETTING_BY_NAME = {setting.name: setting for setting in config.SETTINGS}
_LIST_COLUMNS = ("usage", "certificate file", "key file", "expires", "notes", "error")


class _PathType(click.ParamType[Path]):
    """A path; `~` stands for the home directory also where no shell has replaced it."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        if not value:
            self.fail("an empty path", param, ctx)
        return Path(os.path.expanduser(value))


def _certs_dir_option(command: _Command) -> _Command:
    setting = _SETTING_BY_NAME["certs_dir"]
    return click.option(
        setting.flag,
        type=_PathType(),
        default=setting.default,
        show_default=True,
        envvar=setting.variable,
        show_envvar=True,
        metavar="DIR",
        help="The certificates directory.",
    )(command)


def _ca_key_option(command: _Command) -> _Command:
    return click.option(
        "--ca-key",
        type=_PathType(),
        required=True,
        envvar=config.ENV_PREFIX + "CA_KEY",
        show_envvar=True,
        metavar="FILE",
        help="The authority's private key. Keep it in a safe place, on no node.",
    )(command)


def _overwrite_option(command: _Command) -> _Command:
    return click.option("--overwrite", is_flag=True, help="Replace files that are there.")(command)


@click.group()
def command() -> None:
    """Make and list certificates and the cluster key.

    A secure cluster needs an authority (create-ca), one cluster key (create-cluster-key) and a certificate
    for each node (create-node).
    """


@command.command("create-ca")
@_certs_dir_option
@_ca_key_option
@click.option("--lifetime", type=Duration(), default="87840h", show_default=True, help="How long it is valid.")
@_overwrite_option
@click.option("--allow-ca-key-reuse", is_flag=True, help="Sign with the key that is there: renews the authority.")
def create_ca(certs_dir: Path, ca_key: Path, lifetime: timedelta, overwrite: bool, allow_ca_key_reuse: bool) -> None:
    """Make the authority: its key and ca.crt.

    If ca.crt is there already, the new authority is put in front of the old ones, so that all are trusted
    while it replaces them; --overwrite drops the old ones.
    """
    from rangeland import tls

    _print_written(
        tls.create_ca(
            certs_dir, ca_key, lifetime=lifetime, overwrite=overwrite, allow_ca_key_reuse=allow_ca_key_reuse
        )
    )


@command.command("create-node")
@click.argument("hosts", nargs=-1, required=True, metavar="HOST…")
@_certs_dir_option
@_ca_key_option
@click.option("--lifetime", type=Duration(), help="How long it is valid.  [default: 824 days]")
@_overwrite_option
def create_node(
    hosts: tuple[str, ...], certs_dir: Path, ca_key: Path, lifetime: timedelta | None, overwrite: bool
) -> None:
    """Make a node's certificate: node.key and node.crt.

    Name every HOST, a name or an IP address, under which clients or other nodes reach the node. The directory
    must hold ca.crt.
    """
    from rangeland import tls

    _print_written(tls.create_node(certs_dir, ca_key, hosts, lifetime=lifetime, overwrite=overwrite))


@command.command("create-client")
@click.argument("user", metavar="USER")
@_certs_dir_option
@_ca_key_option
@click.option("--lifetime", type=Duration(), help="How long it is valid.  [default: 824 days]")
@_overwrite_option
def create_client(user: str, certs_dir: Path, ca_key: Path, lifetime: timedelta | None, overwrite: bool) -> None:
    """Make a client's certificate: client.USER.key and client.USER.crt.

    A server whose ssl_ca_file is ca.crt takes it for role USER where pg_hba.conf says cert. No node asks for it.
    """
    from rangeland import tls

    _print_written(tls.create_client(certs_dir, ca_key, user, lifetime=lifetime, overwrite=overwrite))


@command.command("create-cluster-key", short_help="Make cluster.key, the same for every node.")
@_certs_dir_option
@_overwrite_option
def create_cluster_key(certs_dir: Path, overwrite: bool) -> None:
    """Make cluster.key, with which nodes prove to each other that they are of one cluster.

    Make it once and copy it to every node. Who can read it can act as a node.
    """
    from rangeland import tls

    _print_written(tls.create_cluster_key(certs_dir, overwrite=overwrite))


@command.command("list", short_help="List what the certificates directory holds.")
@_certs_dir_option
@format_option
def list_certs(certs_dir: Path, output_format: str | None) -> None:
    """List what the directory holds, with names, expiry and what is wrong with it."""
    from rangeland import tls

    rows = tls.list_certs(certs_dir)
    cells = [(row.usage, row.certificate_file, row.key_file, row.expires or "", row.notes, row.error) for row in rows]
    print_rows(_LIST_COLUMNS, cells, output_format)
    wrong = [row.key_file or row.certificate_file for row in rows if row.error]
    if wrong:
        raise TlsError(f"not usable in {certs_dir}: {', '.join(wrong)} (see the column error)")


def _print_written(paths: Sequence[Path]) -> None:
    for path in paths:
        click.echo(f"wrote {path}")
