"""Charts of the report of many runs, as SVG that takes its ink from the page: readable on light and dark, and as narrow
as a phone."""

import io
import re

import matplotlib
import numpy as np
from matplotlib.ticker import EngFormatter

from kzoo.figures import base
from kzoo.figures.base import Figure
from kzoo.sweep import effects, study_report

INK = "#010203"  # stands for the page's own colour of text
WIDTH = 5.2  # inches
DRAWN = 8  # settings with a curve, the best ones
NAMED = 10  # settings with a colour of their own among the prices
PRICES = ("parameters", "GFLOPs", "ms each, batch 1")
STYLE = {
    "svg.hashsalt": "kzoo",  # the same bytes each time
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.framealpha": 0.0,
    "legend.fontsize": "small",
    "font.size": 9.0,
}


def charts(result: dict) -> dict[str, str]:
    """{name of a figure in `study_blocks.blocks`: SVG}, of those there is something to draw for.

    Args:
        result: see `study_report.analyse`.
    """
    curves = {row["name"]: row["curve"] for row in result["runs"]}
    drawn = {}
    with matplotlib.rc_context(STYLE):
        metric = result["metric"]
        for group in result["groups"]:
            letter = group["name"]
            drawn[f"curves {letter}"] = _curves(group["settings"], curves, metric)
            drawn[f"price {letter}"] = _prices(group["settings"], metric, result["higher_is_better"])
            drawn[f"effects {letter}"] = _effects(group["effects"], metric)
            for name in group["ranges"]:
                drawn[f"range {name} {letter}"] = _range(group["settings"], name, metric)
        return {name: svg(figure) for name, figure in drawn.items() if figure is not None}


def svg(figure: Figure) -> str:
    """The <svg> element of a figure."""
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    found = text.getvalue()
    found = re.sub(r"<metadata>.*?</metadata>", "", found[found.index("<svg") :], flags=re.DOTALL)
    return found.replace(INK, "currentColor")


def short(level) -> str:
    """At most 24 letters, both ends of longer ones."""
    return base.shortened(f"{level:.3g}" if isinstance(level, float) else str(study_report.level_text(level)), 24)


def setting_text(setting: dict) -> str:
    """For a legend, within the width of a chart."""
    return base.label(", ".join(map(short, setting.values())) or "all runs", 58)


def _titled(figure: Figure, text: str):
    """With the chart's title above and what its marks are below, one a line."""
    base.heading(figure, text, "small")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=1)


def band(curves) -> tuple[np.ndarray, np.ndarray]:
    """Curves of several runs, each ((epoch, score), …), as one: epochs (E,), and (3, E) mean, lowest and highest of
    those that have it."""
    found: dict = {}
    for curve in curves:
        for epoch, score in curve:
            found.setdefault(epoch, []).append(score)
    epochs = sorted(found)
    told = [(np.mean(found[epoch]), min(found[epoch]), max(found[epoch])) for epoch in epochs]
    return np.array(epochs), np.array(told).T


def _curves(settings: list[dict], curves: dict, metric: str) -> Figure | None:
    """Validation score over the epochs: mean over the seeds, and from the lowest to the highest."""
    settings = [row for row in settings if any(curves[name] for name in row["runs"])]
    if not settings:
        return None
    figure = Figure(figsize=(WIDTH, 3.2 + 0.19 * min(DRAWN, len(settings))), layout="constrained")
    axis = figure.subplots()
    for number, row in enumerate(settings[:DRAWN]):
        epochs, (mean, low, high) = band([curves[name] for name in row["runs"]])
        axis.plot(epochs, mean, color=f"C{number}", marker=".", markersize=4, label=setting_text(row["setting"]))
        axis.fill_between(epochs, low, high, color=f"C{number}", alpha=0.18, linewidth=0)
    left = f"; the best {DRAWN} of {len(settings)} settings" if len(settings) > DRAWN else ""
    axis.set(ylabel=f"{base.AXES.get(metric, metric)}, validation split")
    base.over_epochs(axis, (epoch for row in settings for name in row["runs"] for epoch, _ in curves[name]))
    axis.grid(alpha=0.25)
    _titled(figure, f"Mean over seeds, band from lowest to highest{left}")
    return figure


def front(costs, values, higher_is_better: bool) -> list[int]:
    """Which points no other one beats in both, being cheaper or as cheap and better or as good; from cheap to dear."""
    sign = 1 if higher_is_better else -1
    kept: list[int] = []
    for i in sorted(range(len(costs)), key=lambda i: (costs[i], -sign * values[i])):
        if not kept or sign * values[i] > sign * values[kept[-1]]:
            kept.append(i)
    return kept


def _prices(settings: list[dict], metric: str, higher_is_better: bool) -> Figure | None:
    """Score against parameters, FLOPs and time; those on the line are beaten by none that is cheaper."""
    priced = {name: [row for row in settings if row["costs"][name] is not None] for name in PRICES}
    priced = {name: rows for name, rows in priced.items() if len({row["costs"][name] for row in rows}) > 1}
    if not priced:
        return None
    figure = Figure(
        figsize=(WIDTH, 0.4 + 2.5 * len(priced) + 0.19 * min(NAMED + 1, len(settings))), layout="constrained"
    )
    for axis, (name, rows) in zip(np.atleast_1d(figure.subplots(len(priced), 1)), priced.items(), strict=True):
        costs = np.array([row["costs"][name] for row in rows])
        values = np.array([row["score"].value for row in rows])
        kept = front(costs, values, higher_is_better)
        axis.plot(costs[kept], values[kept], color=INK, linewidth=0.8, alpha=0.5, zorder=1)
        for number, row in enumerate(settings):
            if row not in rows:
                continue
            low, high = _ends(row["score"])
            colour = f"C{number}" if number < NAMED else "darkgrey"
            axis.plot([row["costs"][name]] * 2, [low, high], color=colour, alpha=0.7, linewidth=1.2)
            axis.plot(row["costs"][name], row["score"].value, "o", color=colour, markersize=5)
        if min(costs) > 0 and max(costs) > 20 * min(costs):
            axis.set_xscale("log")
        axis.set(xlabel=name, ylabel=base.AXES.get(metric, metric))
        axis.grid(alpha=0.25)
        if name == "parameters":
            axis.xaxis.set_major_formatter(EngFormatter(sep=""))
            axis.xaxis.set_minor_formatter("")
    for number, row in enumerate(settings[:NAMED]):
        figure.axes[0].plot([], [], "o", color=f"C{number}", markersize=5, label=setting_text(row["setting"]))
    if len(settings) > NAMED:
        figure.axes[0].plot(
            [], [], "o", color="darkgrey", markersize=5, label=f"{len(settings) - NAMED} other settings"
        )
    _titled(figure, "Score and price; on the line: none is both cheaper and better")
    return figure


def _ends(found: effects.Estimate) -> tuple[float, float]:
    """The interval, or the range where there is none."""
    return (found.least, found.most) if found.low is None else (found.low, found.high)


def _effects(of_group: dict, metric: str) -> Figure | None:
    """A row a level: its effect, and the interval of that."""
    rows = [(factor, level, row["effect"]) for factor, levels in of_group.items() for level, row in levels.items()]
    if not rows:
        return None
    figure = Figure(figsize=(WIDTH, 0.9 + 0.36 * len(rows)), layout="constrained")
    axis = figure.subplots()
    factors = list(of_group)
    for height, (factor, _, found) in enumerate(rows):
        colour = f"C{factors.index(factor)}"
        style = ":" if found.low is None else "-"
        axis.plot(_ends(found), [height, height], color=colour, linewidth=2, alpha=0.7, linestyle=style)
        axis.plot(found.value, height, "o", color=colour, markersize=5)
    axis.axvline(0, color=INK, linewidth=0.8)
    labels = [short(level) if factor == "arch" else f"{factor}\n{short(level)}" for factor, level, _ in rows]
    axis.set_yticks(range(len(rows)), labels)
    axis.invert_yaxis()
    axis.set(xlabel=f"effect on {base.AXES.get(metric, metric)}")
    axis.locator_params(axis="x", nbins=5)
    axis.grid(alpha=0.25, axis="x")
    base.heading(figure, "Main effects (dotted: range of fewer than 3 seeds)", "small")
    return figure


def _range(settings: list[dict], name: str, metric: str) -> Figure:
    """Score against the value of a parameter."""
    figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
    axis = figure.subplots()
    values = [row["setting"][name] for row in settings]
    axis.plot(values, [row["score"].value for row in settings], "o", markersize=5, alpha=0.8)
    if min(values) > 0 and max(values) > 20 * min(values):
        axis.set_xscale("log")
    axis.set(xlabel=name, ylabel=base.AXES.get(metric, metric))
    axis.grid(alpha=0.25)
    return figure
