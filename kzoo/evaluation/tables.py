"""Tables for people: numbers to four digits, in Markdown and CSV, where names are text and nothing else."""

import csv
import io
import math
import re

CODE = re.compile(r"(`[^`]*`)")  # stays as it is
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would compute


def number(value) -> str:
    """Four significant digits, integers whole."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.4g}"
    return "" if value is None else str(value)


def text(value) -> str:
    """Of one line of Markdown: it shows what `value` says, no HTML and no links; code between backticks stays code."""
    parts = CODE.split(" ".join(str(value).split()))
    return "".join(part if part.startswith("`") and len(part) > 1 else _escaped(part) for part in parts)


def _escaped(part: str) -> str:
    return part.replace("&", "&amp;").replace("<", "&lt;").replace("](", "]\\(")


def code(value: str) -> str:
    """As code on one line, whatever backticks are in it."""
    flat = " ".join(value.split())
    return f"`` {flat} ``" if "`" in flat else f"`{flat}`"


def cell(value) -> str:
    """Of a Markdown table: a number, or `text` on one line."""
    return re.sub(r"\\*\|", r"\\|", text(number(value)))


def markdown_table(header: list[str], rows: list[list]) -> str:
    lines = [list(map(cell, header)), ["---"] * len(header), *(list(map(cell, row)) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def csv_cell(value):
    """Text that a spreadsheet would take for a formula gets an apostrophe before it; numbers stay what they are."""
    if not isinstance(value, str) or not value.startswith(FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def csv_text(columns: list[str], rows: list[dict]) -> str:
    """Rows by column as CSV; what a row has besides is left out, what it lacks is empty."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(map(csv_cell, columns))
    writer.writerows([csv_cell(row.get(column, "")) for column in columns] for row in rows)
    return written.getvalue()
