"""Scores are written once, in benchmarks/results: the pages are what they give. README is short, links are whole."""

import importlib
import json
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = "pose seg pose3d loc cluster data predict sweeps explain export craft api results".split()
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```", re.DOTALL)


@pytest.fixture
def results(monkeypatch):
    """benchmarks/results.py; its folder is no package."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("results")


def anchors(path: pathlib.Path) -> set[str]:
    """Of a page's headings, as GitHub names them: lower case, no punctuation, a dash for each space."""
    headings = re.findall(r"^#+ (.+)$", CODE.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_pages_are_what_the_results_give(results):
    assert not results.differences(), "run python benchmarks/results.py"


def test_a_changed_page_is_one_line_and_exit_code_1(results, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(results.repeats, "ROOT", tmp_path)
    monkeypatch.setattr(results, "PAGE", tmp_path / "docs" / "results.md")
    monkeypatch.setattr(sys, "argv", ["results.py", "--check"])
    with pytest.raises(SystemExit) as ended:
        results.main()
    assert str(ended.value).startswith("docs/results.md: ") and "\n" not in str(ended.value)


def test_it_runs_by_itself():
    """With the standard library alone: -S leaves out site-packages."""
    command = [sys.executable, "-S", "benchmarks/results.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_file_of_results_is_on_the_page(results):
    """A table is named in TABLES; what was measured is read by one of them."""
    used = set(results.TABLES)
    for name in results.TABLES:
        table = results.read(name)
        used |= {table["from"]} if "from" in table else set()
        used |= {place[0] for place in results.PLACE.findall(json.dumps(table, ensure_ascii=False))}
    assert used == {path.stem for path in results.FOLDER.glob("*.json")}


def test_best_of_a_table(results):
    """The best number wins, not the first row; rows with more to go by and the row to compare with do not count."""
    table = {
        "columns": ["arch", "error", "CPU-min"],
        "rows": [["a", "3 m", "1"], ["b", "**2.5 m**", "2"], ["told", "1 m", "3"], ["mean", "0.5 m", ""], ["", "", ""]],
        "best": {
            "task": "loc",
            "data": "room",
            "column": "error",
            "order": "lowest",
            "beside": "mean",
            "unlike": ["told"],
            "score": "error {error}",
        },
    }
    assert results.best_row(table) == ["loc", "room", "b", "error 2.5 m", "mean: error 0.5 m", "2"]


def test_the_quick_starts_score(results):
    """Of the README's numbers the only one outside the table."""
    miou = results.read("people_seg_2cores")["unet"]["scores"]["miou"]
    assert f"val mIoU {miou:.2f} over 7 body parts" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_readme_is_short():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
    assert [number for number, line in enumerate(lines, 1) if len(line) > 160] == []


def test_there_is_a_page_for_everything():
    assert {path.stem for path in PAGES} == {"README", *NAMES}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    broken = []
    for link in LINK.findall(CODE.sub("", path.read_text(encoding="utf-8"))):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_picture_is_shown():
    texts = {path: path.read_text(encoding="utf-8") for path in PAGES}
    shown = {(path.parent / link).resolve() for path, text in texts.items() for link in LINK.findall(text)}
    pictures = {path for path in (ROOT / "docs").iterdir() if path.suffix in (".png", ".gif")}
    assert pictures <= shown
