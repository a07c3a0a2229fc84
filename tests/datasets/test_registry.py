"""Data sets describe themselves: cards, messages and lists find it without a framework; each one is packaged."""

import configparser
import pathlib
import subprocess
import sys

import pytest

from kzoo.datasets import about, registry
from kzoo.datasets.sourced import Sourced, describe

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize("name", registry.NAMES)
def test_every_data_set_says_what_it_is(name):
    facts = registry.about(name)
    assert isinstance(facts, about.About) and facts.licence
    assert facts.source or not facts.downloadable, "a download is one of the values of --data_source"
    for text in (facts.licence, facts.limits, facts.source or ""):
        assert text == text.strip() and "\n" not in text


@pytest.mark.parametrize("name", registry.DATASETS)
def test_a_builder_carries_its_facts(name):
    builder = registry.builder_class(name)
    assert builder.about is registry.about(name) and builder.name == name
    assert issubclass(builder, Sourced) == bool(builder.about.source)
    assert hasattr(builder, "find_official") == builder.about.downloadable


def test_tfdss_own_builders():
    assert registry.builder_class("mnist").name == "mnist"


def test_every_folder_is_registered_and_packaged():
    folders = {path.parent.name for path in (ROOT / "datasets").glob("*/__init__.py")}
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    prefix = "kzoo.datasets."
    packages = setup["options"]["packages"].split()
    packaged = {name.removeprefix(prefix) for name in packages if name.startswith(prefix)}
    assert folders == set(registry.DATASETS) == packaged


@pytest.mark.parametrize(
    "code",
    [
        "from kzoo.datasets import registry; [registry.about(name) for name in registry.NAMES]",
        "import runpy; runpy.run_path('train.py', run_name='train')",  # its help names the data sets
    ],
)
def test_facts_are_known_without_a_framework(code):
    frameworks = {"tensorflow", "tensorflow_datasets", "keras", "numpy"}
    code = f"import sys; {code}; sys.exit(' '.join({frameworks} & set(sys.modules)) or 0)"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


def test_the_help_names_every_data_set():
    command = [sys.executable, "train.py", "--help"]
    shown = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True).stdout
    words = set(shown.replace(",", " ").split())
    assert set(registry.NAMES) <= words, set(registry.NAMES) - words


@pytest.mark.parametrize(
    ("counts", "line"),
    [
        ({"kept": 3, "dropped": 0, "mended": 2}, "kept 3, mended 2"),
        ({"kept": 0, "dropped": 5}, "kept 0, dropped 5"),
        ({"frames": 0, "runs": 1}, "runs 1"),
    ],
)
def test_counts_in_one_line(counts, line):
    assert describe(counts) == line
