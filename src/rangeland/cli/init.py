"""`rangeland init`: our roles, schema and tables, once per cluster."""

from __future__ import annotations

from typing import Any

import click

from rangeland.cli.settings import read_settings, takes_settings


@click.command(name="init")
@takes_settings("init")
@click.option("--dry-run", is_flag=True, help="Print the SQL instead of running it.")
@click.option(
    "--new-cluster",
    is_flag=True,
    help="The server is a copy (a clone, a restored backup): make it a cluster of its own, with a new id and "
    "without nodes, web sessions and events.",
)
@click.option(
    "--after-upgrade",
    is_flag=True,
    help="The server takes the place of the one whose data it got, by pg_upgrade or from a dump.",
)
def command(dry_run: bool, new_cluster: bool, after_upgrade: bool, **flags: Any) -> None:
    """Set up a PostgreSQL cluster for its nodes: run it once, against the primary; again does no harm.

    It makes role admin (its members may use the API), role rangeland (the nodes connect as it: a member of
    pg_monitor with at most 10 connections) and schema rangeland in the database of --url; nothing else.

    \b
    The nodes' password: RANGELAND_ROLE_PASSWORD or role_password in the file of --config
    sets it here; or use psql's  \\password rangeland  afterwards.
    """
    from rangeland.config import forget_libpq_environment
    from rangeland.errors import SettingError
    from rangeland.state.init import Change, init_cluster, plan_init

    values = read_settings("init", flags)
    if not values["url"]:
        raise SettingError("--url is missing: which server is the primary? postgresql://postgres@HOST/postgres")
    if new_cluster and after_upgrade:
        raise SettingError(
            "--new-cluster is for a copy, --after-upgrade for what takes the original's place: give one"
        )
    change = Change.NEW_CLUSTER if new_cluster else Change.AFTER_UPGRADE if after_upgrade else None
    forget_libpq_environment()
    if dry_run:
        planned = plan_init(
            values["url"],
            admin_role=values["admin_role"],
            change=change,
            allow_cancel=values["allow_cancel"],
        )
        click.echo(planned, nl=False)
        return
    done = init_cluster(
        values["url"],
        admin_role=values["admin_role"],
        role_password=values["role_password"],
        change=change,
        allow_cancel=values["allow_cancel"],
    )
    what = "made" if done.created else "up to date"
    click.echo(f"schema rangeland is {what} in database {done.database}; the cluster's id is {done.cluster_id}")
