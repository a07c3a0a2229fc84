"""docs/results.md and the README's scores from benchmarks/results/*.json, where each number is written once.

    python benchmarks/results.py            # writes both
    python benchmarks/results.py --check    # exit code 1 and one line where a file differs from what would be written

TABLES names the page's tables in their order. Each is a JSON file:
    title       of a section; without it the table belongs to the section above
    about       Markdown lines before the table: data, command, seed, hardware, conditions
    columns, rows   cells are Markdown; or instead of both
    from        a file that a benchmark has written, whose table READERS makes
    after       Markdown lines below it
    pictures    {path from the root of the repository: what it shows}
    best        the row for the README: see `best_row`
`{file|key|key:format}` in a text or cell is the number at that place of file.json, so that what was measured stays in
its own file. The format is Python's, or `M` for millions; without one, the text as it stands there.
"""

import argparse
import json
import pathlib
import posixpath
import re
import sys

import contenders
import repeats

FOLDER = repeats.ROOT / "benchmarks" / "results"
PAGE = repeats.ROOT / "docs" / "results.md"
README = repeats.ROOT / "README.md"
BEGIN, END = "<!-- results -->", "<!-- end of results -->"
TABLES = (
    "people_pose",
    "people_seg",
    "people_clips",
    "room",
    "kitchen",
    "digits",
    "attention",
    "coco_pose",
    "coco_pose_heads",
    "coco_pose_decoders",
    "coco_seg",
    "camvid",
    "camvid_tta",
    "study_skips",
    "skips_and_upsampling",
    "lab_quick",
    "speed",
)
INTRODUCTION = """# Results

Every score of this page stands in `benchmarks/results/*.json`; `python benchmarks/results.py` writes the page from
there. After a new measurement change the JSON file and run it again.

All with seed 0, no test-time augmentation unless said, on 2 CPU cores (x86-64 with AVX-512), TensorFlow 2.21, Keras
3.15, float32. MPJPE is in pixels of a 256-px picture. A CPU-min is a minute of one thread, on cores that other work
shared."""
PLACE = re.compile(r"\{(\w+)\|([^{}:]+)(?::([^{}]+))?\}")
COLUMN = re.compile(r"\{([^{}|]+)\}")
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def read(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def formatted(number, form: str | None) -> str:
    if form == "M":
        return f"{number / 1e6:.2f} M"
    return format(number, form or "")


def filled(text: str) -> str:
    """The text, the numbers of other files put in."""

    def number(place: re.Match) -> str:
        value = read(place[1])
        for key in place[2].split("|"):
            value = value[int(key) if isinstance(value, list) else key]
        return formatted(value, place[3])

    return PLACE.sub(number, text)


# Tables that benchmarks make of their measurements


def clustering(result: dict) -> tuple[list[str], list[list[str]]]:
    """k-means on pixels once (all runs of a seed have the same), then each arch after k-means on its codes and at its
    end."""
    runs, rows = result["runs"], []

    def cells(found: list[dict]) -> list[str]:
        scores = ("acc", "nmi", "ari")
        return [repeats.cell([run[score] for run in found]) if score in found[0] else "" for score in scores]

    archs = list(dict.fromkeys(run["arch"] for run in runs))
    pixels = [run for run in runs if run["method"] == "k-means on pixels" and run["arch"] == archs[0]]
    if pixels:
        rows.append(["k-means on pixels", *cells(pixels), ""])
    for arch in archs:
        for method in dict.fromkeys(run["method"] for run in runs if run["arch"] == arch):
            found = [run for run in runs if run["arch"] == arch and run["method"] == method]
            if method == "the network":
                rows.append([f"`{arch}`", *cells(found), f"{found[0]['parameters']:,}"])
            elif method != "k-means on pixels":
                rows.append([f"{method} of `{arch}`", *cells(found), ""])
    return ["method", "ACC", "NMI", "ARI", "parameters"], rows


def upsampling(result: dict) -> tuple[list[str], list[list[str]]]:
    """Each mode without skips (`encdec`) and with them (`unet`)."""
    runs, rows = result["runs"], []
    for mode in dict.fromkeys(run["upsampling"] for run in runs):
        row = [mode]
        for arch in ("encdec", "unet"):
            group = [run for run in runs if (run["upsampling"], run["arch"]) == (mode, arch)]
            row += [repeats.cell([run["miou"] for run in group]), f"{group[0]['parameters']:,}"]
        rows.append(row)
    words = ("without skips", "with skips")
    return ["upsampling", *(f"{number} {skips}" for skips in words for number in ("mIoU", "parameters"))], rows


def camvid_tta(result: dict) -> tuple[list[str], list[list[str]]]:
    """What each kind of averaging adds to one forward pass, in points of mIoU."""
    gains = result["camvid-unet/test-all192"]["gains"]
    alone, rows = gains["none"]["miou"], []
    for name, gain in gains.items():
        row = [name, str(gain["passes"]), f"{gain['miou']:.4f}", "", ""]
        if name != "none":
            points = 100 * (gain["miou"] - alone)
            row[3:] = [f"{points:+.2f}", f"{points / (gain['passes'] - 1):+.3f}"]
        rows.append(row)
    return ["average with", "forward passes", "mIoU", "gain (points)", "per extra pass"], rows


READERS = {"clustering": clustering, "upsampling": upsampling, "camvid_2cores": camvid_tta}


# The page and the README


def contents(table: dict) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of a table, everything put in."""
    if "from" in table:
        return READERS[table["from"]](read(table["from"]))
    return table["columns"], [[filled(cell) for cell in row] for row in table["rows"]]


def section(table: dict) -> str:
    """A table of the page with its texts and pictures."""
    folder, shown = PAGE.parent.name, table.get("pictures", {})
    pictures = [f"![{what}]({posixpath.relpath(path, folder)})" for path, what in shown.items()]
    parts = [
        f"## {table['title']}" if "title" in table else "",
        filled("\n".join(table.get("about", []))),
        contenders.table(*contents(table)),
        filled("\n".join(table.get("after", []))),
        "\n".join(pictures),
    ]
    return "\n\n".join(part for part in parts if part)


def page() -> str:
    """The text of docs/results.md."""
    return "\n\n".join([INTRODUCTION, *(section(read(name)) for name in TABLES)]) + "\n"


def best_row(table: dict) -> list[str]:
    """The README's row: the lowest or highest (`order`) of a `column`.

    `beside` is the first cell of the row to compare with, `unlike` names rows that had more to go by than the others.
    `score` is the text for both, with {column} for the row's cell; `network` is what the README calls the network.
    """
    best, (columns, rows) = table["best"], contents(table)
    place = columns.index(best["column"])
    apart = {best.get("beside"), *best.get("unlike", [])}
    ranked = [row for row in rows if row[0] not in apart and NUMBER.search(row[place])]
    chosen = {"lowest": min, "highest": max}[best["order"]](ranked, key=lambda row: float(NUMBER.search(row[place])[0]))

    def said(row: list[str]) -> str:
        return COLUMN.sub(lambda name: row[columns.index(name[1])].strip("*"), best["score"])

    beside = next((f"{row[0]}: {said(row)}" for row in rows if row[0] == best.get("beside")), "")
    minutes = chosen[columns.index("CPU-min")] if "CPU-min" in columns else ""
    return [best["task"], best["data"], best.get("network", chosen[0]), said(chosen), beside, minutes]


def summary() -> str:
    """What stands between the README's markers."""
    rows = [best_row(table) for table in map(read, TABLES) if "best" in table]
    tasks = [task for task, *_ in rows]
    header = ["task", "data", "network", "score", "to compare with", "CPU-min"]
    return contenders.table(header, sorted(rows, key=lambda row: tasks.index(row[0])))


def readme() -> str:
    """The README, its table made anew."""
    text = README.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise SystemExit(f"{README.name} needs one {BEGIN} and one {END}")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{summary()}\n{END}{rest.split(END)[1]}"


def differences() -> dict[pathlib.Path, str]:
    """{file that differs from what would be written: what would be}"""
    made = {PAGE: page(), README: readme()}
    return {path: text for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text}


def main():
    parser = argparse.ArgumentParser(description="docs/results.md and the README's scores from benchmarks/results")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 where a file differs")
    check, stale = parser.parse_args().check, differences()
    if check and stale:
        names = " and ".join(path.relative_to(repeats.ROOT).as_posix() for path in stale)
        sys.exit(f"{names}: not what benchmarks/results/*.json give; run python benchmarks/results.py")
    for path, text in stale.items():
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.relative_to(repeats.ROOT)}")


if __name__ == "__main__":
    main()
