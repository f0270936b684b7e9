"""The command `rangeland`: its subcommands, and errors as one line."""

from __future__ import annotations

import importlib
import sys

import click

from rangeland import __version__
from rangeland.errors import RangelandError

# Name → what the list of commands says. The module is loaded when the command is used.
COMMANDS = {
    "start": "Run a node beside a PostgreSQL server.",
    "demo": "Run a whole cluster with load on this machine, until Ctrl-C.",
    "init": "Set up a PostgreSQL cluster for its nodes, once.",
    "uninstall": "Remove what init made.",
    "cert": "Make and list certificates and the cluster key.",
    "auth-session": "Make, end and list the sessions of the API's users.",
    "node": "List nodes and their status.",
}


class Commands(click.Group):
    """Knows its commands by name and loads only the one that is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"rangeland.cli.{cmd_name.replace('-', '_')}")
        command = module.command
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="rangeland")
def cli() -> None:
    """The Cluster API for PostgreSQL: one REST API that every node hosts and that answers for the cluster.

    Every setting is a flag, an environment variable (RANGELAND_ and the flag's name in capitals) or a line of
    a TOML file given with --config; a flag wins over the environment, that over the file.
    """


def main() -> None:
    """Run; an error of ours is one line on stderr and exit status 1."""
    try:
        cli.main(prog_name="rangeland", standalone_mode=True)
    except RangelandError as exc:
        click.echo(f"ERROR: {exc}", err=True)
        sys.exit(1)
