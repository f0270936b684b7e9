"""Curves as SVG, the same bytes for the same points."""

from __future__ import annotations

from pathlib import Path

from bench.line import Curve


def plot_file(curve: Curve, directory: Path) -> Path:
    """Where a curve is drawn."""
    return directory / f"latency-by-{curve.name}.svg"


def draw(curve: Curve, directory: Path) -> Path:
    """Draw it into its file in the directory. Raises: ImportError where matplotlib is missing."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "rangeland"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 3.6), layout="constrained")
    for name, points in curve.points_by_series.items():
        axes.plot(*zip(*points, strict=True), marker=".", label=name)
    axes.set(title=curve.title, xlabel=curve.x_label, ylabel=curve.y_label)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    path = plot_file(curve, directory)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return path
