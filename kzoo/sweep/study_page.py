"""The report of many runs as one HTML file that needs nothing else, no network, no library. Tables sort by clicks, hide
rows by words."""

import html
import pathlib
import re

from kzoo import files
from kzoo.sweep import study_blocks, study_charts, study_pictures, study_report, study_rows
from kzoo.sweep.study_blocks import Block, Folder, cell_text

SHORT = 26  # letters that a cell shows on one line
FILTERED = 6  # rows from which a table can be filtered
STYLE = """
:root { color-scheme: light dark;
  --ink: #1c1f23; --paper: #fdfdfc; --line: #d5d8dc; --shade: #f0f2f4; --link: #0b5cad; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e6e9; --paper: #16181b; --line: #3a3f45; --shade: #22262b; --link: #7db7f5; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 84rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; } h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; }
p, ul { max-width: 52rem; } ul { padding-left: 1.2rem; } li { margin: .35rem 0; }
code { background: var(--shade); padding: .05em .3em; border-radius: .25em; }
.scroll { overflow-x: auto; margin: .5rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .6rem; text-align: left; vertical-align: top; }
td.long { min-width: 13rem; } td.short { white-space: nowrap; } td.number { text-align: right; white-space: nowrap; }
tbody tr:hover { background: var(--shade); }
th button { all: unset; cursor: pointer; font-weight: 600; }
th button:focus-visible { outline: 2px solid var(--link); }
th[aria-sort=ascending] button::after { content: " ▲"; } th[aria-sort=descending] button::after { content: " ▼"; }
input { font: inherit; color: inherit; background: var(--shade); border: 1px solid var(--line); border-radius: .3rem;
  padding: .3rem .6rem; width: min(100%, 22rem); }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
figure { margin: .5rem 0; flex: 0 1 34rem; } figure svg { width: 100%; height: auto; display: block; }
figure img { max-width: 100%; height: auto; display: block; margin: .3rem 0; } figcaption { font-weight: 600; }
a { color: var(--link); }
"""
SCRIPT = """
"use strict";
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0], rows = Array.from(body.rows), heads = Array.from(table.tHead.rows[0].cells);
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = row => row.cells[column].dataset.value;
    const numbers = rows.every(row => !Number.isNaN(Number(key(row))));
    rows.sort((a, b) => {
      if (!key(a) || !key(b)) return (key(b) ? 1 : 0) - (key(a) ? 1 : 0);  // empty cells last
      return (down ? -1 : 1) * (numbers ? Number(key(a)) - Number(key(b)) : key(a).localeCompare(key(b)));
    });
    body.append(...rows);
  }));
  const words = table.closest("section").querySelector("input");
  if (words) words.addEventListener("input", () => {
    const wanted = words.value.toLowerCase().split(/\\s+/).filter(Boolean);
    for (const row of rows) row.hidden = !wanted.every(word => row.textContent.toLowerCase().includes(word));
  });
}
document.documentElement.dataset.ready = "true";
"""
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
<script>{script}</script>
</body>
</html>
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def text(value: str) -> str:
    """Escaped, `code` between backticks."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", html.escape(value))


def cell(value, folder=".") -> str:
    """folder: of the page."""
    kind = "number" if isinstance(value, int | float) else "short" if len(cell_text(value)) <= SHORT else "long"
    sorted_by = "" if value is None or value != value else repr(value) if isinstance(value, int | float) else str(value)
    shown = text(cell_text(value))
    if isinstance(value, Folder):
        shown = f'<a href="{study_pictures.link(value.path, folder)}">{shown}</a>'
    return f'<td class="{kind}" data-value="{html.escape(sorted_by)}">{shown}</td>'


def table(block: Block, folder=".") -> str:
    heads = "".join(f'<th scope="col"><button type="button">{text(name)}</button></th>' for name in block.header)
    rows = "".join(f"<tr>{''.join(cell(value, folder) for value in row)}</tr>\n" for row in block.rows)
    caption = f"<p>{text(block.text)}</p>" if block.text else ""
    words = ""
    if len(block.rows) >= FILTERED:
        label = html.escape(f"show the rows of {block.name} with these words")
        words = f'<input type="search" placeholder="show rows with …" aria-label="{label}">'
    return (
        f'<section id="{html.escape(block.name.replace(" ", "-"))}">{caption}{words}<div class="scroll"><table>'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody></table></div></section>"
    )


def page(title: str, blocks: list[Block], figures: dict[str, str], *, pictures: str = "", folder=".") -> str:
    """The whole page.

    Args:
        title: of the window; blocks: of `study_blocks.blocks`; figures: {name: SVG}; a block whose figure is not among
        them is left out; pictures: of `study_pictures.section`, before the table of every run; folder: where the page
        will lie.
    """
    parts: list[str] = []
    drawn: list[str] = []
    for block in blocks:
        if block.kind == "figure":
            if block.name in figures:
                drawn.append(
                    f'<figure role="img" aria-label="{html.escape(block.name)}">{figures[block.name]}</figure>'
                )
            continue
        if drawn:
            parts.append(f'<div class="figures">{"".join(drawn)}</div>')
            drawn = []
        if block.kind == "heading":
            if block.text == study_blocks.EVERY_RUN:
                parts.append(pictures)
            parts.append(f"<h{block.level}>{text(block.text)}</h{block.level}>")
        elif block.kind == "list":
            parts.append(f"<ul>{''.join(f'<li>{text(item)}</li>' for item in block.items)}</ul>")
        elif block.kind == "table":
            parts.append(table(block, folder) if block.rows else "")
        else:
            parts.append(f"<p>{text(block.text)}</p>")
    if drawn:
        parts.append(f'<div class="figures">{"".join(drawn)}</div>')
    return PAGE.format(policy=POLICY, title=html.escape(title), style=STYLE, body="\n".join(parts), script=SCRIPT)


def write(runs: study_rows.Runs, folder, *, with_costs: bool = True) -> dict:
    """`report.md`, `report.json`, `report.csv` and `report.html` in a folder; returns `study_report.analyse`."""
    folder = pathlib.Path(folder)
    result = study_report.analyse(runs, study_report.measured_costs(runs, folder, only_known=not with_costs))
    blocks = study_blocks.blocks(result)
    pictures = study_pictures.section(result, folder)
    html_page = page(
        f"Report of {result['title']}", blocks, study_charts.charts(result), pictures=pictures, folder=folder
    )
    rows = [dict(row) for row in result["runs"]]
    for row in rows:
        del row["curve"]
    files.write_json(folder / "report.json", study_report.as_json({**result, "runs": rows}))
    files.write_text(folder / "report.md", study_blocks.markdown(blocks))
    files.write_text(folder / "report.csv", study_report.as_csv(result))
    files.write_text(folder / "report.html", html_page)
    return result
