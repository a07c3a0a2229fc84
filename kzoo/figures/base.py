"""What all figures share: names as they are, files, curves over the epochs, grids of examples, colours, legends."""

import functools
import itertools
import math
import textwrap
import warnings

import matplotlib
import numpy as np
from matplotlib import figure as mpl
from matplotlib import font_manager, ticker
from matplotlib.animation import Animation, PillowWriter
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.text import Text

from kzoo import files

# What metrics are called on an axis.
AXES = {
    "mpjpe": "MPJPE (px of a 256-px crop)",
    "mpjpe_mm": "MPJPE (mm)",
    "miou": "mIoU",
    "position_error": "mean position error (m)",
    "acc": "clustering accuracy",
}
ANIMATION_HZ = 6  # frames a second of a GIF: clips slower than life, so that one can see it

# Colours with one meaning in all figures, apart from each other for the colour-blind too (Okabe and Ito).
TRUTH, PREDICTION = "#0072B2", "#D55E00"
WRONG = (1.0, 0.95, 0.0)  # no class has a colour like it
SIDES = {"left": "tab:orange", "right": "tab:cyan", "middle": "tab:pink"}  # of a body
PAGE = 1.0  # padding is white as the page: it is no part of the picture

HALO = [withStroke(linewidth=2, foreground="white")]  # numbers stay readable on a line
MARKERS = "osvD^P*X<>"  # of runs with the same colour
MANY = 24  # entries of a legend: of more, long names are cut further
HEIGHT_TO_WIDTH = 1.3  # of examples in a grid: higher figures get another block beside the first
FONTS = (  # for what Matplotlib's own font lacks, those that are installed
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Microsoft YaHei", "Hiragino Sans", "Malgun Gothic", "WenQuanYi Zen Hei"),
    *("Noto Sans", "Arial Unicode MS", "Noto Emoji", "Segoe UI Emoji", "Segoe UI Symbol"),
)


class Figure(mpl.Figure):
    """A figure whose texts are names, never mathematics, and whose axes have whole numbers, without an offset beside
    them. It holds wherever it is drawn: in a file, a notebook, an animation."""

    def draw(self, renderer):
        with matplotlib.rc_context({"text.parse_math": False}), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
            for axes in self.findobj(Axes):
                for axis in axes._axis_map.values():
                    _write_numbers_out(axis)
            for text in self.findobj(Text):
                _take_literally(text)
            super().draw(renderer)


def _take_literally(text: Text):
    text.set_parse_math(False)
    text.set_text(_readable(text.get_text()))
    text.set_fontfamily(_font_families())


def _readable(text: str) -> str:
    """Without what no font has: the lone surrogates of file names that are not UTF-8, tabs and other controls."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(letter if letter.isprintable() or letter in "\n\u200b" else " " for letter in text)


@functools.cache
def _font_families() -> list[str]:
    installed = set(font_manager.get_font_names())
    return [*matplotlib.rcParamsDefault["font.family"], *(name for name in FONTS if name in installed)]


def _write_numbers_out(axis):
    """2500000 or 1e+08, and never 2.5 with a 1e6 at the end of the axis."""
    formatter = axis.get_major_formatter()
    if isinstance(formatter, ticker.LogFormatter):  # would write powers as mathematics
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(ticker.NullFormatter())
    elif type(formatter) is ticker.ScalarFormatter:
        largest = np.max(np.abs(axis.get_view_interval()))
        if 1e-3 <= largest < 1e7:
            formatter.set_useOffset(False)
            formatter.set_scientific(False)
        else:
            axis.set_major_formatter("{x:g}")


def save(figure: Figure | Animation, path):
    """Write a PNG, or the GIF of an animation, whole or not at all."""
    with files.replacing(path) as temporary:
        if isinstance(figure, Animation):
            figure.save(temporary, writer=PillowWriter(fps=ANIMATION_HZ), dpi=80)
        else:
            figure.savefig(temporary, dpi=100, format="png")


# Texts


def shortened(text: str, most: int = 28) -> str:
    """A name as it can be drawn, of at most so many letters: both ends of longer ones."""
    text = _readable(text)
    if len(text) <= most:
        return text
    tail = (most - 1) * 2 // 5
    return f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"


def label(text: str, most: int = 40) -> str:
    """For a legend: Matplotlib leaves out what begins with an underscore."""
    return shortened(f"\u200b{text}" if text.startswith("_") else text, most)


def heading(figure: Figure, text: str, fontsize: str = "medium"):
    """Above the figure, as many lines as it takes to be within its width; the figure grows by them."""
    letters = int(figure.get_figwidth() * (10 if fontsize == "medium" else 12))
    lines = itertools.chain.from_iterable(textwrap.wrap(line, letters) for line in text.split("\n"))
    lines = list(lines)[:6]
    if lines:
        figure.set_figheight(figure.get_figheight() + 0.2 * len(lines))
        figure.suptitle("\n".join(lines), fontsize=fontsize)


def legend(figure: Figure, handles: list):
    """Below the figure, which grows by its lines; as many columns as there is room for."""
    if not handles:
        return
    if len(handles) > MANY:
        for handle in handles:
            handle.set_label(label(handle.get_label(), 20))
    width = 0.6 + 0.085 * max(len(handle.get_label()) for handle in handles)
    columns = int(np.clip(0.97 * figure.get_figwidth() // width, 1, len(handles)))
    figure.set_figheight(figure.get_figheight() + 0.1 + 0.2 * -(-len(handles) // columns))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize="small", frameon=False)


def line(colour, text: str, **style) -> Line2D:
    """For a legend."""
    return Line2D([], [], color=colour, label=label(text, 80), **style)


# Curves


def over_epochs(axis, epochs, name: str = "epoch"):
    """An axis of whole numbers, of a single epoch too."""
    axis.set_xlabel(name)
    axis.xaxis.set_major_locator(ticker.MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    epochs = set(epochs)
    if len(epochs) == 1:
        (epoch,) = epochs
        axis.set_xlim(epoch - 0.6, epoch + 0.6)


def curves(histories: dict[str, list[dict]], metric: str) -> Figure:
    """Loss and score of the training and the evaluation set over the epochs, one colour or marker a run.

    Args:
        histories: run name -> rows of `history.csv`.
        metric: column, with "train_" and "val_" before it.
    """
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    styles = run_styles(len(histories))
    for axes, name in zip(figure.subplots(1, 2), ("loss", metric), strict=True):
        for style, history in zip(styles, histories.values(), strict=True):
            epochs = [row["epoch"] for row in history]
            for prefix, dashes in (("train_", "--"), ("val_", "-")):
                if history and prefix + name in history[0]:
                    axes.plot(epochs, [row[prefix + name] for row in history], dashes, **style)
        axes.set(ylabel=AXES.get(name, name))
        over_epochs(axes, (row["epoch"] for history in histories.values() for row in history))
        if len(histories) == 1:
            _fill_gap(axes, history, name, style["color"])
        axes.grid(alpha=0.3)
        if not any(np.isfinite(drawn.get_ydata()).any() for drawn in axes.lines):
            axes.set_yticks([])
            axes.text(0.5, 0.5, "no finite value", transform=axes.transAxes, ha="center", va="center", color="grey")

    # What the lines are: of one run its name stands above.
    heading(figure, next(iter(histories)) if len(histories) == 1 else "")
    colour = styles[0]["color"] if len(histories) == 1 else "black"
    handles = [line(colour, "training set", linestyle="--"), line(colour, "evaluation set")]
    if len(histories) > 1:
        handles += [Line2D([], [], **style, label=label(run)) for style, run in zip(styles, histories, strict=True)]
    legend(figure, handles)
    return figure


def _fill_gap(axes, history: list[dict], name: str, colour):
    """Between the curves of the training and the evaluation set, where there are both."""
    if not history or f"train_{name}" not in history[0] or f"val_{name}" not in history[0]:
        return
    epochs = [row["epoch"] for row in history]
    training = [row[f"train_{name}"] for row in history]
    evaluation = [row[f"val_{name}"] for row in history]
    axes.fill_between(epochs, training, evaluation, color=colour, alpha=0.12)
    gap = evaluation[-1] - training[-1]
    if not np.isfinite(evaluation).any():
        axes.set_title("evaluation set: no finite value", fontsize="small")
    elif math.isfinite(gap):
        axes.set_title(f"evaluation − training at the end: {gap:+.3g}", fontsize="small")


def run_styles(count: int) -> list[dict]:
    """Colour and marker of each run: of more than ten, those of one colour differ by their marker."""
    colours = matplotlib.colormaps["tab10"].colors
    if count <= len(colours):
        return [{"color": colour, "marker": ".", "markersize": 6} for colour in colours[:count]]
    return [
        {"color": colours[i % len(colours)], "marker": MARKERS[i // len(colours) % len(MARKERS)], "markersize": 4}
        for i in range(count)
    ]


# Pictures


def class_colours(names) -> np.ndarray:
    """RGB (C, 3) in [0, 1] of C classes: distinct hues, and black for a first class named background.

    None of them is grey, white or yellow: grey is what is ignored, white is padding, yellow is wrong.
    """
    black = int(names[0] == "background")
    turns = np.arange(len(names) - black) * 0.618034 % 1.0  # golden ratio: neighbours differ most
    hues = (0.24 + 0.86 * ((turns + 0.88) % 1.0)) % 1.0  # without those from 0.10 to 0.24, around yellow
    saturation = np.where(np.arange(len(hues)) % 2, 0.5, 0.9)
    value = np.where(np.arange(len(hues)) % 3 == 2, 0.65, 0.95)
    wheel = hsv_to_rgb(np.stack([hues, saturation, value], axis=-1))
    return np.concatenate([np.zeros((black, 3)), wheel])


def padding(picture) -> np.ndarray:
    """(H, W) bool: rows and columns at the borders of (H, W, 3) uint8 that are black in all their pixels."""
    empty = ~np.asarray(picture).any(axis=-1)
    result = np.zeros(empty.shape, bool)
    if empty.all():
        return result
    for filled, side in ((np.flatnonzero(~empty.all(axis=1)), result), (np.flatnonzero(~empty.all(axis=0)), result.T)):
        side[: filled[0]] = True
        side[filled[-1] + 1 :] = True
    return result


def unpadded(picture) -> np.ndarray:
    """A picture (H, W, 3) uint8 with its padding white."""
    return np.where(padding(picture)[..., None], np.uint8(255 * PAGE), picture)


def arranged(count: int, panels: int, *, aspect: float = 1.0, side: float = 2.6, room: float = 0.2):
    """A figure and the places of `count` examples of so many panels each: rows, in as many blocks side by side as keep
    the figure from becoming a tower.

    Args:
        aspect: height / width of a panel; side: its width in inches; room: for a line below or above it.
    Returns:
        the figure, (count, panels) subplot specs, and how many examples a block has.
    """
    height = side * aspect + room
    fits = (b for b in range(1, count + 1) if -(-count // b) * height <= HEIGHT_TO_WIDTH * b * (panels + 0.1) * side)
    blocks = next(fits, max(count, 1))
    rows = max(1, -(-count // blocks))
    blocks = max(1, -(-count // rows))
    side *= 1 if blocks * panels <= 8 else 0.8
    figure = Figure(
        figsize=(side * (blocks * panels + 0.12 * (blocks - 1)), (side * aspect + room) * rows + 0.2),
        layout="constrained",
    )
    widths = [*[1.0] * panels, 0.12] * blocks
    cells = figure.add_gridspec(rows, len(widths) - 1, width_ratios=widths[:-1])
    places = np.empty((count, panels), object)
    for i, panel in np.ndindex(count, panels):
        block, row = divmod(i, rows)
        places[i, panel] = cells[row, block * (panels + 1) + panel]
    return figure, places, rows


def examples(count: int, heads, *, aspect: float = 1.0, side: float = 2.6) -> tuple[Figure, np.ndarray]:
    """A figure and axes (count, panels) of pictures, see `arranged`; heads: above the panels of each block."""
    figure, places, rows = arranged(count, len(heads), aspect=aspect, side=side)
    axes = np.empty(places.shape, object)
    for i, panel in np.ndindex(places.shape):
        axes[i, panel] = figure.add_subplot(places[i, panel])
        axes[i, panel].set_axis_off()
        if i % rows == 0:
            axes[i, panel].set_title(heads[panel], fontsize="medium")
    return figure, axes


def write_below(axis, text: str, most: int = 42):
    """A line under a picture."""
    axis.text(0, -0.02, shortened(text, most), transform=axis.transAxes, fontsize="small", va="top")


def grid(rows: int, columns: int, *, aspect: float = 1.0) -> tuple[Figure, np.ndarray]:
    """`aspect`: height / width of the pictures."""
    figure = Figure(figsize=(2.6 * columns, (2.6 * aspect + 0.15) * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    return figure, axes
