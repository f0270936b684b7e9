"""What the house's pages promise: targets, links, and nothing that belongs to one machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rangeland import __version__

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
NAMES = [path.relative_to(ROOT).as_posix() for path in DOCUMENTS]
HOUSE = ("README.md", "ARCHITECTURE.md", "STYLE.md", "CONTRIBUTING.md", "CHANGELOG.md")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def anchors_of(text: str) -> set[str]:
    """What GitHub makes of headings."""
    headings = re.findall(r"^#+ +(.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_house_is_complete() -> None:
    assert [name for name in HOUSE if name not in NAMES] == []
    assert "Apache License" in read("LICENSE")
    assert "END OF TERMS AND CONDITIONS" in read("LICENSE")


def test_the_readme_opens_with_two_commands() -> None:
    lines = [line for line in read("README.md").splitlines() if line]
    assert lines[:2] == ["# Rangeland", "```sh"]
    assert [line.split("#")[0].strip() for line in lines[2:4]] == ["make demo", "make test"]


@pytest.mark.parametrize("name", NAMES)
def test_make_targets_exist(name: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
    named = set(re.findall(r"(?:^|`|&& )make ([a-z]+)", read(name), re.MULTILINE))
    assert named <= targets


@pytest.mark.parametrize("name", NAMES)
def test_links_resolve(name: str) -> None:
    broken = []
    for target in LINK.findall(read(name)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        if not file.exists() or (anchor and anchor not in anchors_of(file.read_text(encoding="utf-8"))):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("name", [*NAMES, ".ci/run", "Makefile", "pyproject.toml"])
def test_nothing_belongs_to_one_machine_or_is_left_for_later(name: str) -> None:
    found = re.findall(r"/(?:work|root)\b[^\s`'\")]*|\bTO-?DO\b|\bFIXME\b|\bXXX\b", read(name))
    assert found == []


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("docs/decisions/")])
def test_a_decision_tells_its_price_in_40_lines(name: str) -> None:
    text = read(name)
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings == ["Situation", "Decision", "Price", "What would change our mind"]
    assert text.startswith(f"# {Path(name).name[:4]}: ")
    assert len(text.splitlines()) <= 40


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = [Path(name).name[:4] for name in NAMES if name.startswith("docs/decisions/")]
    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, to_read = set(), ["README.md"]
    while to_read:
        name = to_read.pop()
        if name in reached:
            continue
        reached.add(name)
        for target in LINK.findall(read(name)):
            file = ((ROOT / name).parent / target.partition("#")[0]).resolve()
            pages = file.glob("*.md") if file.is_dir() else [file]
            to_read.extend(page.relative_to(ROOT).as_posix() for page in pages if page in DOCUMENTS)
    assert sorted(set(NAMES) - reached) == []


def test_the_changelog_knows_this_version() -> None:
    assert re.search(rf"^## {re.escape(__version__)}\b", read("CHANGELOG.md"), re.MULTILINE)
