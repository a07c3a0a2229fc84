"""The export matrix as people read it: a table in a Markdown document, which may have more to say."""

import pathlib

from kzoo import UserError, files
from kzoo.evaluation import tables

# In a document that has more to say, the table stands between.
BEGIN, END = "<!-- export matrix -->", "<!-- end of the export matrix -->"
FAR = 1e-3  # differences above get a note
EXPLAINED = {  # words of a note -> why it is so
    "seg/segnet": "A max-unpooling puts values where the encoder's window was highest. Where two pixels of a window "
    "are equal but for the last bit, another order of summation picks the other one, and all that lies above changes. "
    "TensorFlow does so to itself: with TF_ENABLE_ONEDNN_OPTS=0 predict differs from predict by as much."
}


def table(results: dict, forms) -> str:
    """Markdown: a row for each network, and what failed or is far from `predict`, with the upstream error and why it is
    so."""
    lines, notes = [], []
    for network, rows in results.items():
        line = network.split("/")
        for form in forms:
            cell, note = _cell(rows.get(form))
            if note:
                notes.append(_explained(f"`{network}` to {form}: {note}"))
                cell += f" ({len(notes)})"
            line.append(cell)
        lines.append(line)
    numbered = "".join(f"{number}. {note}\n" for number, note in enumerate(notes, start=1))
    return f"{tables.markdown_table(['task', 'arch', *forms], lines)}\n{numbered or 'Nothing failed.'}"


def _explained(note: str) -> str:
    reasons = [f"\n   Why: {why}" for words, why in EXPLAINED.items() if words in note]
    return "".join([note, *reasons[:1]])


def _cell(row: dict | None) -> tuple[str, str]:
    """Largest difference, size, latency; and what is to be told of them."""
    if row is None:
        return "not measured", ""
    if "error" in row:
        return "fails", row["error"]
    differences = [*row["difference"].items(), *(row["other_size"] or {}).items()]
    far = ", ".join(f"{name} differs by up to {value:.0e}" for name, value in differences if value > FAR)
    largest = max(value for _, value in differences)
    return f"{largest:.0e}, {row['mib']:.2g} MiB, {row['ms']:.2g} ms", far


def document(kept: dict, forms) -> str:
    """The table and how it came about; kept: see `matrix.kept_results`."""
    versions = ", ".join(f"{name} {version}" for name, version in kept["versions"].items())
    return (
        f"{BEGIN}\n{table(kept['results'], forms)}\nA cell: largest difference to `predict` over all answers and raw "
        "outputs (of classes the share that differ), size on disk, milliseconds for one example (median after "
        "warm-up). Networks are small and have random weights: sizes and times compare forms, not architectures.\n"
        f"Measured {kept['date']} by `python -m kzoo.export_matrix` on {kept['device']}: {versions}.\n{END}\n"
    )


def with_place(out) -> str:
    """The text of a document that has a place for the table, or none yet. Raises UserError where it has no place."""
    text = pathlib.Path(out).read_text() if pathlib.Path(out).exists() else ""
    if text and BEGIN not in text:
        raise UserError(f"{out} has no line {BEGIN!r}, where the table would stand; add it, or name another file")
    return text


def write(out, kept: dict, forms):
    """Put the table into a document, in place of the one that is there."""
    before, begins, rest = with_place(out).partition(BEGIN)
    text = document(kept, forms)
    if begins:
        _, _, after = rest.partition(END)
        text = before + text.rstrip("\n") + after
    files.write_text(out, text)
