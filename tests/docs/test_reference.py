"""The reference documents what there is, all of it and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from rangeland.api.routes import ENDPOINTS
from rangeland.cli.main import COMMANDS, cli
from rangeland.config import SETTINGS, Setting, settings_of

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
OTHER_PROGRAMS = re.compile(
    r"\b(curl|psql|openssl|python3?|pytest|apt-get|git|uv|cp|mkdir|kill|jq|pg_dump|pg_dumpall|pg_restore)\b"
)


def text_of(name: str) -> str:
    return (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command by its words, `cert` as well as `cert list`."""
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {sub}", found) for sub, found in command.commands.items())


def sections(text: str) -> dict[str, str]:
    """Heading → what stands below it, up to the next heading of any level."""
    parts = re.split(r"^#+ +(.*)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def flags_of(command: click.Command) -> set[str]:
    return {
        flag for param in command.params for flag in [*param.opts, *param.secondary_opts] if flag.startswith("--")
    }


ALL_FLAGS = {"--help", "--version"}.union(*(flags_of(command) for _, command in commands()))


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_is_documented_with_flag_and_variable(setting: Setting) -> None:
    flag = "none" if setting.is_secret else f"`{setting.flag}`"
    assert re.search(rf"^\| {re.escape(flag)} \| `{setting.variable}` \|", text_of("settings.md"), re.MULTILINE)


@pytest.mark.parametrize("name", ["start", "init", "uninstall", "auth-session", "node", "demo"])
def test_the_settings_of_a_command_are_in_its_table(name: str) -> None:
    [table] = [text for heading, text in sections(text_of("settings.md")).items() if f"`rangeland {name}`" in heading]
    documented = set(re.findall(r"`(RANGELAND_\w+)`", table))
    assert {setting.variable for setting in settings_of(name)} - documented == set()
    known = {setting.variable for setting in SETTINGS}
    assert documented <= known


def test_every_default_is_told() -> None:
    text = text_of("settings.md")
    for setting in SETTINGS:
        if isinstance(setting.default, (str, int)) and setting.default not in ("", False):
            [row] = [line for line in text.splitlines() if f"| `{setting.variable}` |" in line][:1]
            assert str(setting.default) in row, setting.name


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_every_command_has_its_section(name: str) -> None:
    assert f"`rangeland {name}`" in sections(text_of("commands.md"))


def test_every_flag_is_in_the_reference() -> None:
    documented = set(FLAG.findall(text_of("commands.md") + text_of("settings.md")))
    assert {"--help", *ALL_FLAGS} - documented == set()


def test_no_section_is_about_a_command_that_does_not_exist() -> None:
    known = {name for name, _ in commands()}
    named = set(re.findall(r"^#+ `rangeland ([a-z -]+)`$", text_of("commands.md"), re.MULTILINE))
    assert named <= known


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_documents_name_only_flags_that_exist(document: Path) -> None:
    """Of a line that runs another program, only what follows a word of ours is looked at."""
    lines = document.read_text(encoding="utf-8").splitlines()
    ours = [line for line in lines if not OTHER_PROGRAMS.search(line) or "rangeland " in line]
    unknown = [flag for line in ours for flag in FLAG.findall(line) if flag not in ALL_FLAGS]
    assert unknown == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_documents_run_only_commands_that_exist(document: Path) -> None:
    """Lines of shell blocks and text in backticks that begin with our name."""
    text = document.read_text(encoding="utf-8")
    known = {name for name, _ in commands()}
    run = re.findall(r"(?:^|`|/bin/|'|\$ )rangeland ((?:[a-z][a-z-]+ ?){1,2})", text, re.MULTILINE)
    for words in (found.split() for found in run):
        assert words[0] in COMMANDS, words
        group = cli.get_command(click.Context(cli), words[0])
        if isinstance(group, click.Group) and len(words) > 1:
            assert " ".join(words) in known


def test_every_endpoint_is_in_the_reference_and_no_other() -> None:
    public = {(endpoint.public_path, endpoint.method) for endpoint in ENDPOINTS if endpoint.path.startswith("/api/")}
    rows = re.findall(r"^\| `(/api/v2/\S+)` \| (\w+) \|", text_of("api.md"), re.MULTILINE)
    assert set(rows) == public
    pages = ["api.md", *(f"endpoints/{page.name}" for page in (ROOT / "docs/reference/endpoints").glob("*.md"))]
    found = [heading for page in pages for heading in sections(text_of(page)) if re.match(r"(GET|POST) /", heading)]
    assert len(found) == len(set(found))
    headings = {tuple(heading.split()) for heading in found}
    assert headings == {(method, path.removeprefix("/api/v2")) for path, method in public}
