"""`rangeland start`: run a node until SIGTERM."""

from __future__ import annotations

from typing import Any

import click

from rangeland.cli.settings import read_settings, takes_settings


@click.command(name="start")
@takes_settings("start")
@click.option("--print-config", is_flag=True, help="Print the settings with where each is from, and exit.")
def command(print_config: bool, **flags: Any) -> None:
    """Run a node beside a PostgreSQL server (15 to 18), in the foreground.

    The node serves at once, also while its server is still down: health/?ready=true turns 200 when both are up
    and the node is registered. 'rangeland init' must have run once for the cluster.

    \b
    SIGTERM  drains: readiness turns 500, open requests finish (15 s at most), exit status 0
    SIGHUP   takes new certificates

    A URL with a password belongs into RANGELAND_SERVER_URL or the file of --config, not on the command line,
    where every user of this machine can read it.
    """
    if print_config:
        from rangeland.cli.config_text import read_config_text

        click.echo(read_config_text(flags), nl=False)
        return
    from rangeland.config import forget_libpq_environment
    from rangeland.node.logs import configure_logs
    from rangeland.node.run import run_node
    from rangeland.node.settings import node_settings

    settings = node_settings(read_settings("start", flags))
    forget_libpq_environment()
    configure_logs(settings.log_format)
    run_node(settings)
