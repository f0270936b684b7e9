"""`python -m bench [QUESTION …]`: measure, and print each line as it comes; if all were asked, write the page, too.

`--soak MINUTES` runs the question of growth alone, for so long.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from bench import growth
from bench.line import Curve, Findings, Line
from bench.page import PAGE, page, this_machine, verdict
from bench.plots import draw
from bench.scene import Scene

# Modules, in the order of the page.
QUESTIONS = ("cost", "problems", "latency", "throughput", "size", "fan_out", "start", "console", "growth")


def main() -> int:
    """The exit status is 1 where a goal is missed."""
    arguments = _parser().parse_args()
    scene = Scene(is_short=arguments.short)
    if arguments.soak is not None:
        lines, _ = _shown({"soak": lambda: growth.measure(scene, arguments.soak)})
    else:
        lines, curves = _shown({name: _measuring(name, scene) for name in arguments.questions or QUESTIONS})
        if not arguments.questions and not arguments.short:
            _write(lines, curves)
    return int(any(line.met is False for line in lines))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("questions", nargs="*", metavar="QUESTION", help=", ".join(QUESTIONS))
    parser.add_argument("--short", action="store_true", help="tiny sizes: whether it works, not how fast it is")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="only whether something grows")
    return parser


def _measuring(name: str, scene: Scene) -> Callable[[], Findings]:
    def measure() -> Findings:
        findings: Findings = importlib.import_module(f"bench.{name}").measure(scene)
        return findings

    return measure


def _shown(measures: Mapping[str, Callable[[], Findings]]) -> tuple[list[Line], list[Curve]]:
    """What all of them found, by name; each line is printed as it comes."""
    begun = time.monotonic()
    lines: list[Line] = []
    curves: list[Curve] = []
    for name, measure in measures.items():
        own_begun = time.monotonic()
        for finding in measure():
            if isinstance(finding, Line):
                lines.append(finding)
                print(_text(finding), flush=True)
            else:
                curves.append(finding)
        print(f"{name} took {(time.monotonic() - own_begun) / 60:.1f} minutes", flush=True)
    print(f"{len(lines)} lines in {(time.monotonic() - begun) / 60:.1f} minutes")
    return lines, curves


def _text(line: Line) -> str:
    """A few lines for a terminal."""
    rows = (("goal", line.goal), ("figure", line.figure), ("beside it", line.peer), ("note", line.note))
    return "\n".join(
        [f"{verdict(line).upper()}: {line.question}", *(f"    {name:<10}{text}" for name, text in rows if text)]
    )


def _write(lines: Sequence[Line], curves: Sequence[Curve]) -> None:
    PAGE.write_text(page(PAGE.read_text("utf-8"), lines, this_machine()), "utf-8")
    for curve in curves:
        draw(curve, PAGE.parent)


if __name__ == "__main__":
    sys.exit(main())
