"""The command `rangeland`: its subcommands, and errors as one line."""

from __future__ import annotations

import importlib
import sys
from typing import NoReturn

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
    "doctor": "Say what is wrong with the cluster, and what to do.",
    "completion": "Make a shell complete commands and flags.",
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

    Every setting is a flag, an environment variable (--http-addr is RANGELAND_HTTP_ADDR) or a line of a TOML
    file given with --config (http_addr = …); a flag wins over the environment, that over the file.
    """


def main() -> None:
    """Run; an error is one line on stderr, with exit status 2 where the command line is wrong, otherwise 1."""
    try:
        status = cli.main(prog_name="rangeland", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as exc:
        exc.show()
        sys.exit(exc.exit_code)
    except click.ClickException as exc:
        _fail(f"{exc.format_message()}{_where_to_look(exc)}", exc.exit_code)
    except RangelandError as exc:
        _fail(str(exc), 1)
    except click.Abort:
        sys.exit(130)  # 128 + SIGINT, as a shell says it
    sys.exit(status if isinstance(status, int) else 0)


def _where_to_look(exc: click.ClickException) -> str:
    context = exc.ctx if isinstance(exc, click.UsageError) else None
    return f" See '{context.command_path} --help'." if context else ""


def _fail(text: str, status: int) -> NoReturn:
    click.echo(f"ERROR: {' '.join(text.split())}", err=True)
    sys.exit(status)
