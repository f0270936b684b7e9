"""`rangeland uninstall`: remove what init made."""

from __future__ import annotations

from typing import Any

import click

from rangeland.cli.settings import read_settings, takes_settings


@click.command(name="uninstall")
@takes_settings("uninstall")
def command(**flags: Any) -> None:
    """Remove schema rangeland and the roles that init made. A role that somebody else made stays.

    Stop the nodes first. Every login session of the API ends.
    """
    from rangeland.config import forget_libpq_environment
    from rangeland.errors import SettingError
    from rangeland.state.init import uninstall_cluster

    values = read_settings("uninstall", flags)
    if not values["url"]:
        raise SettingError("--url is missing: which server is the primary? postgresql://postgres@HOST/postgres")
    forget_libpq_environment()
    uninstall_cluster(values["url"], admin_role=values["admin_role"])
    click.echo("removed")
