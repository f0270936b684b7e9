"""`rangeland completion`: what makes a shell complete our commands and flags."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_RANGELAND_COMPLETE"  # where click looks for the request of a shell, from the program's name


@click.command(name="completion")
@click.argument("shell", type=click.Choice(SHELLS), metavar="|".join(SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print a script that makes the shell complete commands and flags on TAB.

    \b
    bash  eval "$(rangeland completion bash)"        in ~/.bashrc
    zsh   eval "$(rangeland completion zsh)"         in ~/.zshrc, after compinit
    fish  rangeland completion fish | source         in ~/.config/fish/config.fish
    """
    completion = get_completion_class(shell)
    assert completion is not None  # click brings all SHELLS
    root = ctx.find_root()
    script = completion(root.command, {}, "rangeland", VARIABLE)
    click.echo(script.source_template % script.source_vars())  # source() would run bash to ask for its version
