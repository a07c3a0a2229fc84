"""The pictures of a report's runs for its page: curves and examples, small and within the page; links to all and
to the run folders."""

import base64
import html
import io
import os
import pathlib
import urllib.parse

from PIL import Image

from kzoo.runs import Run

SHOWN = 12  # runs, the best ones
SIDE = 720  # pixels: the longer side of what is shown; the files themselves are larger
EXAMPLES = ("segmentation.png", "poses.png", "clips.png", "mosaic.png")  # the first of these that there is


def link(target, folder) -> str:
    """Where a file or folder is, seen from a page in `folder`."""
    relative = os.path.relpath(pathlib.Path(target).resolve(), pathlib.Path(folder).resolve())
    return urllib.parse.quote(pathlib.Path(relative).as_posix(), errors="surrogateescape")


def inline(path) -> str | None:
    """A picture, made smaller, as a data URI; None where it cannot be read."""
    try:
        with Image.open(path) as picture:
            small = picture.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    small.thumbnail((SIDE, SIDE))
    encoded = io.BytesIO()
    small.save(encoded, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.getvalue()).decode()}"


def section(result: dict, folder) -> str:
    """HTML of the best runs, a card each; empty where no run has a picture.

    Args:
        result: of `study_report.analyse`; folder: of the page.
    """
    order = [row for row in result["runs"] if row["folder"] and Run.exists(row["folder"])]
    sign = -1 if result["higher_is_better"] else 1
    order.sort(key=lambda row: (row["score"] is None, sign * (row["score"] or 0)))
    cards = [card(row, folder) for row in order[:SHOWN]]
    if not any("<img" in one for one in cards):
        return ""
    left = f" of the best {SHOWN} of {len(order)} runs" if len(order) > SHOWN else ""
    return f'<h2>Pictures{left}</h2>\n<div class="figures">{"".join(cards)}</div>'


def card(row: dict, folder) -> str:
    """Name, curves, examples and links of a run."""
    drawn = Run.open(row["folder"]).drawn
    by_name = {path.name: path for path in drawn}
    examples = [by_name[name] for name in EXAMPLES if name in by_name]
    shown = [*drawn[:1], *examples[:1]] if drawn and drawn[0] not in examples else examples[:1]
    pictures = []
    for path in shown:
        found = inline(path)
        if found:
            words = html.escape(f"{path.stem} of {row['name']}")
            pictures.append(f'<a href="{link(path, folder)}"><img src="{found}" alt="{words}" loading="lazy"></a>')
    files = ", ".join(f'<a href="{link(path, folder)}">{html.escape(path.name)}</a>' for path in drawn)
    name = f'<a href="{link(row["folder"], folder)}">{html.escape(str(row["name"]))}</a>'
    score = "" if row["score"] is None else f": {row['score']:.4g}"
    return f"<figure><figcaption>{name}{score}</figcaption>{''.join(pictures)}<p>{files}</p></figure>"
