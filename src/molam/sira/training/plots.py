"""Draws an evaluation as SVG, the same bytes for the same figures."""

from __future__ import annotations

import io
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.figure import Figure

INK, OURS, THEIRS = "#1f2937", "#0f766e", "#b45309"
TOP = 20

mpl.rcParams.update({
    "svg.hashsalt": "molam",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "axes.edgecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
})  # fmt: skip


def reliability(
    bins: Sequence[tuple[float, float, float]], by_filter: Sequence[tuple[float, float, float]]
) -> bytes:
    """Draw what came against what was said; on the line, words and world agree."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([1e-4, 1], [1e-4, 1], color=INK, linewidth=0.8, linestyle=":")
    for points, colour, name in ((by_filter, THEIRS, "filter"), (bins, OURS, "model")):
        shown = [(max(said, 1e-4), max(came, 1e-4)) for said, came, _ in points]
        axes.plot(*zip(*shown, strict=True), marker="o", markersize=4, color=colour, label=name)
    axes.set(xscale="log", yscale="log", xlabel="share said to fail", ylabel="share that failed")
    axes.set_title("Reliability, bins of equal mass")
    axes.legend(frameon=False)
    return _svg(figure)


def losses(by_day: Sequence[tuple[float, float]]) -> bytes:
    """Draw the log loss of each held-out day."""
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.add_subplot()
    days = range(1, len(by_day) + 1)
    axes.plot(days, [was for was, _ in by_day], marker="o", color=THEIRS, label="filter")
    axes.plot(days, [is_ for _, is_ in by_day], marker="o", color=OURS, label="model")
    axes.set(xlabel="held-out day", ylabel="log loss of a try, nats", ylim=(0, None))
    axes.set_title("Log loss by day")
    axes.legend(frameon=False)
    return _svg(figure)


def importance(names: Sequence[str], values: Sequence[float]) -> bytes:
    """Draw how far the strongest features move the log-odds on average."""
    order = sorted(range(len(names)), key=lambda place: -values[place])[:TOP][::-1]
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.barh([names[place] for place in order], [values[place] for place in order], color=OURS)
    axes.set(xlabel="mean absolute contribution, log-odds")
    axes.set_title("Strongest features")
    return _svg(figure)


def _svg(figure: Figure) -> bytes:
    kept = io.BytesIO()
    figure.savefig(kept, format="svg", metadata={"Date": None, "Creator": "molam"})
    return kept.getvalue()
