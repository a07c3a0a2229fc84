"""The page of a study's report: self-contained, escaped, and alive in a real browser."""

import base64
import functools
import json
import os
import re
import shutil
import subprocess
import urllib.parse

import pytest
from made_up import unfinished_study, write_run
from PIL import Image

from kzoo.sweep import study_blocks, study_charts, study_page, study_report, study_rows


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return unfinished_study(tmp_path_factory.mktemp("out"))


def test_the_page_is_escaped_and_needs_nothing_else(study):
    result = study_report.analyse(study_rows.of_study(study), {})
    evil = '"><script>alert(1)</script>'
    result["runs"][4]["error"], result["title"] = f"{evil} `{evil}`", evil
    blocks = study_blocks.blocks(result)
    page = study_page.page(evil, blocks, study_charts.charts(result))
    assert "<script>alert" not in page and page.count("<script>") == 1
    assert page.count("<svg") == 2 and "currentColor" in page and study_charts.INK not in page
    without = re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)
    assert not re.search(r"https?:|url\((?!#)|@import|<link|<img", without)


def chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return os.environ.get("CHROME") or next((found for found in map(shutil.which, names) if found), None)


@functools.cache
def needs_browser():
    if not chromium():
        pytest.skip("no chromium, chromium-browser, google-chrome or $CHROME on this machine")


def opened(path, tmp_path) -> tuple[str, list[str]]:
    """The page's DOM once its scripts have run, and what the browser's console said."""
    command = [
        chromium(),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--virtual-time-budget=3000",
        "--enable-logging=stderr",
        "--v=0",
        f"--user-data-dir={tmp_path}/profile",
        "--dump-dom",
        path.as_uri(),
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


CLICKS = """
<script>
const table = document.querySelector("#every-run table"), heads = Array.from(table.tHead.rows[0].cells);
const column = name => heads.findIndex(head => head.textContent === name);
const visible = () => Array.from(table.tBodies[0].rows).filter(row => !row.hidden);
const cells = name => visible().map(row => row.cells[column(name)].textContent);
const click = name => heads[column(name)].querySelector("button").click();
const seen = {};
click("miou"); seen.up = cells("miou");
click("miou"); seen.down = cells("miou");
click("arch"); seen.arch = cells("arch");
const words = document.querySelector("#every-run input");
words.value = "UNET none"; words.dispatchEvent(new Event("input")); seen.shown = cells("arch");
words.value = ""; words.dispatchEvent(new Event("input")); seen.all = cells("arch").length;
document.title = "seen " + btoa(JSON.stringify(seen));
</script></body>
"""


def test_the_page_in_a_browser(study, tmp_path):
    needs_browser()
    study_page.write(study_rows.of_study(study), tmp_path, with_costs=False)
    page = (tmp_path / "report.html").read_text()
    (tmp_path / "clicked.html").write_text(page.replace("</body>", CLICKS))
    dom, console = opened(tmp_path / "clicked.html", tmp_path)
    assert not console and '<html lang="en" data-ready="true">' in dom
    seen = json.loads(base64.b64decode(re.search(r"<title>seen (.*?)</title>", dom)[1]))
    numbers = [float(text) for text in seen["up"] if text]
    assert numbers == sorted(numbers) and len(numbers) == 14 and seen["up"][14:] == [""] * 4
    assert seen["down"] == [*sorted(seen["up"][:14], key=float, reverse=True), *[""] * 4]
    assert seen["arch"] == sorted(seen["arch"]) and seen["shown"] == ["unet"] * 3 and seen["all"] == 18
    (tmp_path / "broken.html").write_text(page.replace("document.documentElement.dataset", "document.nothing.dataset"))
    dom, console = opened(tmp_path / "broken.html", tmp_path)
    assert "data-ready" not in dom and any("TypeError" in line for line in console), "this test sees errors"


def test_the_page_has_pictures_of_the_runs_and_links_to_them(study, tmp_path):
    runs = [tmp_path / "$a$ <b>", tmp_path / "b"]
    for value, folder in enumerate(runs, start=1):
        write_run(folder, value / 10, seed=value)
        (folder / "pictures").mkdir()
        for name in ("curves.png", "pictures/segmentation.png", "pictures/confusion.png"):
            Image.new("RGB", (1000, 400), (200, 10 * value, 0)).save(folder / name)
    (runs[1] / "curves.png").write_bytes(b"damaged")
    out = tmp_path / "out"
    study_page.write(study_rows.of_folders([str(folder) for folder in runs]), out, with_costs=False)
    page = (out / "report.html").read_text()
    assert page.count('<img src="data:image/jpeg') == 3, "two of the first run, one of the second"
    links = set(re.findall(r'<a href="([^"]*)"', page))
    expected = [folder for folder in runs] + [path for folder in runs for path in folder.rglob("*.png")]
    assert {(out / urllib.parse.unquote(link)).resolve() for link in links} == {path.resolve() for path in expected}
    assert "<b>" not in page.partition("<body>")[2]
