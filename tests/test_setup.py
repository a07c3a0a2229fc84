"""Which kzoo an editable install finds."""

import os
import runpy
import subprocess
import sys

import pytest
from running import ROOT

ASK = "import kzoo; print(kzoo.__file__)"


@pytest.fixture
def site(tmp_path):
    """(what puts the finder of a checkout in `here/kzoo` before a line of Python, that checkout)."""
    made = runpy.run_path(str(ROOT / "setup.py"))
    checkout = tmp_path / "here/kzoo"
    package(checkout)
    (tmp_path / "site").mkdir()
    init = str(checkout / "kzoo/__init__.py")
    (tmp_path / f"site/{made['ADDED']}.py").write_text(made["FINDER"].format(init=init))
    start = f"import sys; sys.path.append({str(tmp_path / 'site')!r}); import {made['ADDED']}; "
    return start, checkout


def package(checkout):
    (checkout / "kzoo").mkdir(parents=True)
    (checkout / "kzoo/__init__.py").touch()


def asked(start, folder) -> subprocess.CompletedProcess:
    command = [sys.executable, "-S", "-c", start + ASK]
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder, env=clean)


@pytest.mark.parametrize("folder", ["here", "here/kzoo", "here/kzoo/kzoo", "."])
def test_the_folder_above_a_clone_is_no_package(site, tmp_path, folder):
    start, checkout = site
    ended = asked(start, tmp_path / folder)
    assert (tmp_path / folder / ended.stdout.strip()).resolve() == checkout / "kzoo/__init__.py", ended


def test_another_checkout_runs_its_own_code(site, tmp_path):
    start, _ = site
    package(tmp_path / "other")
    ended = asked(start, tmp_path / "other")
    assert (tmp_path / "other" / ended.stdout.strip()).resolve() == tmp_path / "other/kzoo/__init__.py", ended


def test_a_checkout_that_was_renamed_says_so(site, tmp_path):
    start, checkout = site
    checkout.rename(tmp_path / "renamed")
    ended = asked(start, tmp_path)
    assert ended.returncode == 1 and "pip install -e it again" in ended.stderr.splitlines()[-1]
    assert asked(start, tmp_path / "renamed").returncode == 0
