"""train.py and eval.py on data that change: one seed gives one result, and no run goes on with what it did not see."""

import csv
import json
import shutil

import pytest
from coco_folder import write_coco
from running import one_line, run

QUICK = (
    "--task=pose",
    "--arch=regression",
    "--encoder=small",
    "--encoder_weights=none",
    "--dataset=coco_subset",
    "--size=64",
    "--batch_size=4",
    "--epochs=1",
)


def history(folder):
    with open(folder / "history.csv", newline="") as file:
        return [{name: row[name] for name in ("loss", "val_mpjpe")} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A source, data prepared from it, and the run that prepared them."""
    place = tmp_path_factory.mktemp("made")
    write_coco(place / "coco", count=8)
    with pytest.MonkeyPatch.context() as patch:
        capture = type("Nothing", (), {"readouterr": lambda _: type("Out", (), {"out": "", "err": ""})})()
        patch.chdir(place)
        code, _, _ = run(capture, patch, "train.py", *QUICK, "--data_source=coco", "--data_dir=tfds", "--out=run")
    assert code == 0
    return place


@pytest.fixture
def place(made, tmp_path):
    """A copy that moved with its data."""
    shutil.copytree(made, tmp_path / "moved")
    path = tmp_path / "moved/run/run.json"
    path.write_text(path.read_text().replace(str(made), "/gone"))
    return tmp_path / "moved"


def test_the_run_that_prepares_is_like_the_next(made, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(made)
    code, _, err = run(capsys, monkeypatch, "train.py", *QUICK, "--data_dir=tfds", f"--out={tmp_path / 'again'}")
    assert code == 0, err
    assert history(tmp_path / "again") == history(made / "run")
    first, again = (json.loads((folder / "run.json").read_text()) for folder in (made / "run", tmp_path / "again"))
    assert first["dataset"] == again["dataset"]
    assert first["flags"]["data_dir"] == str(made / "tfds") and first["flags"]["data_source"] == str(made / "coco")


def test_stale_data_are_refused_and_then_refreshed(place, capsys, monkeypatch):
    monkeypatch.chdir(place)
    shutil.rmtree("tfds")
    arguments = (*QUICK, "--data_source=coco", "--data_dir=tfds")
    code, out, err = run(capsys, monkeypatch, "train.py", *arguments, "--out=one")
    assert code == 0, err
    assert "once, into" in out and "Unknown size" not in out
    write_coco(place / "coco", shift=7, count=8)
    code, _, err = run(capsys, monkeypatch, "train.py", *arguments, "--out=two")
    assert code == 2 and "was prepared from another state of" in one_line(err) and "--refresh" in err
    assert not (place / "two").exists()

    # Refreshed, a new run trains; the old one is not scored on what it did not see, and does not go on with it
    code, _, err = run(capsys, monkeypatch, "train.py", *arguments, "--out=two", "--refresh")
    assert code == 0, err
    assert history(place / "two") != history(place / "one")
    before = {path: path.read_bytes() for path in (place / "one").rglob("*") if path.is_file()}
    for script, flags in (("eval.py", ["--run=one"]), ("train.py", ["--resume", "--out=one", "--epochs=3"])):
        code, _, err = run(capsys, monkeypatch, script, *flags)
        line = one_line(err)
        assert code == 2 and "the run saw coco_subset/pose/1.0.0 (fingerprint" in line and "other records" in line
    assert {path: path.read_bytes() for path in (place / "one").rglob("*") if path.is_file()} == before


def test_a_run_goes_on_where_it_moved_to_and_after_its_data_were_removed(place, capsys, monkeypatch):
    monkeypatch.chdir(place.parent)
    code, _, err = run(capsys, monkeypatch, "train.py", "--resume", f"--out={place / 'run'}", "--epochs=2")
    assert code == 0, err
    shutil.rmtree(place / "tfds")
    shutil.rmtree(place / "run/tensorboard")
    before = json.loads((place / "run/run.json").read_text())
    assert before["flags"]["data_dir"] == str(place / "tfds") and len(history(place / "run")) == 2

    arguments = ("--resume", f"--out={place / 'run'}", "--epochs=3")
    code, _, err = run(capsys, monkeypatch, "train.py", *arguments)
    assert code == 2 and "--data_dir=<folder that holds it>" in one_line(err)
    code, _, err = run(capsys, monkeypatch, "train.py", *arguments, "--refresh")
    assert code == 2 and "--refresh" in one_line(err)
    code, _, err = run(capsys, monkeypatch, "train.py", *arguments, f"--data_source={place / 'coco'}")
    assert code == 0, err
    after = json.loads((place / "run/run.json").read_text())
    assert after["dataset"] == before["dataset"] and len(history(place / "run")) == 3


@pytest.mark.parametrize("split", ["train+val", "train[:4]+val", "all"])
def test_training_on_everything(split, made, tmp_path, capsys, monkeypatch):
    arguments = (*QUICK, f"--data_dir={made / 'tfds'}", f"--out={tmp_path / 'run'}", f"--train_split={split}")
    code, out, err = run(capsys, monkeypatch, "train.py", *arguments)
    assert code == 0, err
    assert (
        "note: 8 examples of --val_split=val are in --train_split=" in out
        and "train_mpjpe" in (tmp_path / "run/history.csv").read_text()
    )


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--data_dir=/no/such/place", "there is no folder /no/such"),
        ("--data_source=~/nowhere", "no data at --data_source="),
        ("--val_split=test", "unknown split 'test'"),
        ("--val_split=all[:3]", "unknown split 'all[:3]'"),
    ],
)
def test_slips_of_the_pen(flag, words, made, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, monkeypatch, "train.py", *QUICK, f"--data_dir={made / 'tfds'}", "--out=run", flag)
    assert code == 2 and words in one_line(err)
    assert not list(tmp_path.iterdir())
