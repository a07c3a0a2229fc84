"""The report of many runs: rows, groups that never mix, words, costs, files and the program."""

import csv
import dataclasses
import itertools
import json
import re
import shutil
import sys

import numpy as np
import pytest
from absl import flags
from made_up import COST, grid, make_study, of_point, unfinished_study, write_run

from kzoo import UserError, cli, files
from kzoo import runs as run_folders
from kzoo.evaluation import costs
from kzoo.programs import report
from kzoo.runs import Run
from kzoo.sweep import effects, study_blocks, study_charts, study_page, study_report, study_rows


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return unfinished_study(tmp_path_factory.mktemp("out"))


def test_a_study(study):
    runs = study_rows.of_study(study)
    assert [row.state for row in runs.rows] == [
        {4: "fail", 9: "pruned", 16: "running", 17: "waiting"}.get(i, "complete") for i in range(18)
    ]
    assert (
        sum(row.counted for row in runs.rows) == 14
        and runs.metric == "miou"
        and runs.higher_is_better
        and not runs.ranges
    )
    row = runs.rows[1]
    assert (
        row.settings == {"arch": "fcn", "encoder_weights": "imagenet"}
        and row.seed == "1"
        and row.epoch == 2
        and row.minutes == 3
    )
    assert row.score == pytest.approx(of_point("fcn", "imagenet", "1")) and row.conditions["fingerprint"] == "abc"
    result = study_report.analyse(runs, {})
    (group,) = result["groups"]
    assert {name for setting in group["settings"] for name in setting["runs"]} == {
        str(i) for i in range(18) if i not in (4, 9, 16, 17)
    }
    assert max(setting["score"].most for setting in group["settings"]) < 1, "the pruned one is in no mean"
    best = group["settings"][0]
    assert (
        best["setting"] == {"arch": "unet", "encoder_weights": "imagenet"}
        and best["best"]
        and best["score"].blocks == 3
    )
    text = study_blocks.markdown(study_blocks.blocks(result))
    assert "18 runs: 14 complete, 1 fail, 1 pruned, 1 running, 1 waiting" in text
    assert re.search(r"\| 4 \| fcn \| none \| 1 \| fail \| the loss \\\| became nan \|", text)
    assert "`imagenet`" not in text and "`encoder_weights=imagenet` is better than `encoder_weights=none` by 0." in text


def test_sweep_json_says_the_same_without_the_storage(study, tmp_path):
    copied = tmp_path / "elsewhere"
    shutil.copytree(study, copied)
    there, here = study_rows.of_study(study), study_rows.of_study(copied)
    for one, other in zip(there.rows, here.rows, strict=True):
        state = {"state": other.state if one.state in ("running", "waiting") else one.state}
        assert dataclasses.replace(one, folder=other.folder, **state) == other
        assert other.folder is None or other.folder.parent == copied
    with pytest.raises(UserError, match="no study"):
        study_rows.of_study(copied, str(tmp_path / "journal.log"))
    shutil.rmtree(copied / "000-x")
    lost = study_rows.of_study(copied).rows[0]
    assert lost.state == "lost" and not lost.counted and "holds no run any more" in lost.error


DIFFERENT = [
    ("fingerprint", "other"),
    ("boxes", "detected"),
    ("crop", "96"),
    ("tta", "flip"),
    ("decoder", "dark"),
    ("split", "test"),
    ("tile", "64x64"),
    ("source", None),
]


@pytest.mark.parametrize(("name", "value"), DIFFERENT, ids=[name for name, _ in DIFFERENT])
def test_runs_under_other_conditions_are_never_ranked_together(name, value, tmp_path):
    for arch, seed in itertools.product(("fcn", "unet"), range(3)):
        how = {"reported": False} if name == "source" else {name: value}
        found = how if arch == "unet" else {}
        write_run(
            tmp_path / f"{arch}{seed}",
            0.5 + 0.1 * (arch == "unet") + 0.01 * seed,
            flag={"arch": arch},
            seed=seed,
            **found,
        )
    result = study_report.analyse(study_rows.of_folders(sorted(tmp_path.iterdir())), {})
    assert [len(group["settings"]) for group in result["groups"]] == [1, 1] and result["differ"] == [name]
    assert not any(group["comparisons"] or group["effects"] or group["answers"] for group in result["groups"])
    for group in result["groups"]:
        assert {run[:-1] for run in group["settings"][0]["runs"]} == {{"A": "fcn", "B": "unet"}[group["name"]]}
    text = study_blocks.markdown(study_blocks.blocks(result))
    assert f"they differ in {study_rows.CONDITIONS[name]}" in text and "columns do not compare" in text
    assert len(re.findall(r"^\| 1 \|", text, re.MULTILINE)) == 2 and not re.findall(r"^\| 2 \|", text, re.MULTILINE), (
        "a first place each"
    )


def test_sizes_side_by_side(tmp_path):
    points = grid(arch=("fcn", "unet"), size=("64", "96"), seed=("0", "1", "2"))
    folder = make_study(
        tmp_path, points, lambda arch, size, seed: 0.3 * (arch == "unet") + int(size) / 1000 + 0.01 * int(seed)
    )
    result = study_report.analyse(study_rows.of_study(folder), {})
    assert [group["conditions"]["crop"] for group in result["groups"]] == ["64", "96"] and result["differ"] == ["crop"]
    for group in result["groups"]:
        (pair,) = group["comparisons"]
        assert (
            pair["factor"] == "arch"
            and pair["one"] == "unet"
            and pair["pairs"] == 3
            and list(group["effects"]) == ["arch"]
        )
    every = next(block for block in study_blocks.blocks(result) if block.name == "every run")
    columns = [every.header.index(f"miou ({letter})") for letter in "AB"]
    assert all(sum(row[column] is not None for column in columns) == 1 for row in every.rows), (
        "no column to sort all of them by"
    )
    side = next(block for block in study_blocks.blocks(result) if block.name == "side by side")
    assert side.header == ("arch", "group A", "group B") and [row[0] for row in side.rows] == ["fcn", "unet"]
    assert side.rows[1][1].startswith("0.374 (") and side.rows[1][2].startswith("0.406 (")


def test_scores_and_conditions_come_from_the_same_place(tmp_path):
    """A report of another name's scores leaves the training loop's score, which has no test-time augmentation."""
    write_run(tmp_path / "a", 0.5, tta="flip")
    write_run(tmp_path / "b", 0.6, tta="flip")
    files.write_json(
        tmp_path / "b" / run_folders.REPORT,
        {"scores": {"acc": 0.9, "miou": None}, "tta": "flip", "split": "test", "crop": 96},
    )
    exact, other = (study_rows.measured(Run.open(tmp_path / name), "miou", True) for name in "ab")
    assert (
        exact["score"] == 0.5
        and exact["conditions"]["tta"] == "flip"
        and exact["conditions"]["source"] == "report.json"
    )
    expected = {
        "task": "seg",
        "dataset": "people/1.0.0",
        "fingerprint": "abc",
        "split": "val",
        "crop": "64",
        "tta": "none",
        "metric": "miou",
    }
    assert other["score"] == 0.6 and other["epoch"] == 2
    assert other["conditions"] == dict.fromkeys(study_rows.CONDITIONS, "") | expected | {"source": "history.csv"}


def test_run_folders(tmp_path):
    """What differs between their flags are the factors; what changes with one of them alone is part of it."""
    for arch, width, seed in itertools.product(("fcn", "unet"), (8, 16), range(3)):
        flag = {
            "arch": arch,
            "lr": 0.1 if arch == "fcn" else 0.2,
            "set": [f"width={width}"],
            "data_dir": f"/{seed}{width}",
        }
        flag |= {"newer": 1} if seed else {}
        write_run(
            tmp_path / f"{arch}-{width}-{seed}", 0.1 * (arch == "unet") + 0.01 * width + seed, flag=flag, seed=seed
        )
    write_run(tmp_path / "stopped", 0.9, flag={"arch": "fcn", "set": ["width=8"]}, seed=4, epochs=2)
    write_run(tmp_path / "none", float("nan"), flag={"arch": "fcn", "set": ["width=8"]}, seed=5, reported=False)
    folders = sorted(path for path in tmp_path.iterdir())
    runs = study_rows.of_folders([*folders, folders[0]])
    assert (
        len(runs.rows) == 14
        and runs.follows == {"arch": ["lr"]}
        and list(runs.rows[0].settings) == ["arch", "set.width"]
    )
    assert {row.name: row.error for row in runs.rows if not row.counted} == {
        "stopped": "stopped after epoch 2 of 3",
        "none": "no finite miou yet",
    }
    result = study_report.analyse(runs, {})
    (group,) = result["groups"]
    wins = {(pair["one"], pair["other"]): round(pair["advantage"].value, 6) for pair in group["comparisons"]}
    assert wins == {("unet", "fcn"): 0.1, ("16", "8"): 0.08}
    assert "With `arch` change `lr`: they are part of what it does here." in study_blocks.markdown(
        study_blocks.blocks(result)
    )
    write_run(tmp_path / "pose", 9.0, metric="mpjpe", mode="min")
    with pytest.raises(UserError, match="different metrics: miou, mpjpe"):
        study_rows.of_folders([folders[0], tmp_path / "pose"])


def test_less_is_better(tmp_path):
    for arch, seed in itertools.product(("a", "b", "c"), range(3)):
        value = {"a": 9.0, "b": 5.0, "c": 5.02}[arch] + [0.0, 0.3, -0.2][seed] + 0.1 * (arch == "c") * (seed == 1)
        write_run(tmp_path / f"{arch}{seed}", value, flag={"arch": arch}, seed=seed, metric="mpjpe", mode="min")
    (group,) = study_report.analyse(study_rows.of_folders(sorted(tmp_path.iterdir())), {})["groups"]
    assert [row["setting"]["arch"] for row in group["settings"]] == ["b", "c", "a"]
    assert [row["told_apart"] for row in group["settings"]] == [False, False, True] and group["settings"][0]["best"]
    pair = next(pair for pair in group["comparisons"] if {pair["one"], pair["other"]} == {"a", "b"})
    assert pair["one"] == "b" and pair["advantage"].value == pytest.approx(4.0) and pair["won"] == pair["pairs"] == 3
    assert any(said.startswith("`b` is better than `a` by 4.0") and "px MPJPE" in said for said in group["answers"])
    assert any(said.startswith("`b` and `c` are not told apart: 0.05") for said in group["answers"])


def test_a_setting_that_wins_on_the_seeds_in_common_is_not_called_behind(tmp_path):
    for arch, values in {"a": (0.50, 0.51, 0.52, 0.70, 0.71, 0.72), "b": (0.55, 0.561, 0.57)}.items():
        for seed, value in enumerate(values):
            write_run(tmp_path / arch / str(seed), value, flag={"arch": arch}, seed=seed)
    runs = study_rows.of_folders(sorted(tmp_path.glob("*/*")))
    assert len({row.name for row in runs.rows}) == 9, "folders of the same name are told apart"
    result = study_report.analyse(runs, {})
    assert [row["told_apart"] for row in result["groups"][0]["settings"]] == [False, False]
    assert "ahead of the best mean on the 3 seeds in common: by 0.0" in study_blocks.markdown(
        study_blocks.blocks(result)
    )


def comparison(**changes):
    estimate = effects.Estimate(0.031, 3, 0.02, 0.04, 0.0213, 0.0401, (0.025, 0.036))
    return {
        "factor": "arch",
        "one": "unet",
        "other": "encdec",
        "advantage": estimate,
        "won": 6,
        "pairs": 6,
        "tied": 0,
        "p": 0.03,
        "p_holm": 0.03,
        "verdict": study_report.BETTER,
        "by_cell": [],
        **changes,
    }


SENTENCES = [
    ({}, "`unet` is better than `encdec` by 0.0310 mIoU (95 % interval 0.0213 to 0.0401, 6 of 6 pairs, p = 0.03)."),
    ({"p_holm": 0.094, "verdict": study_report.BY_INTERVAL}, "6 of 6 pairs, p = 0.094), by the interval alone."),
    (
        {"verdict": study_report.APART, "won": 4},
        "`unet` and `encdec` are not told apart: 0.0310 mIoU in favour of `unet` (95 % interval",
    ),
    (
        {"advantage": effects.Estimate(0.031, 1, 0.031, 0.031)},
        "6 of 6 pairs), with 1 seed: too few to tell it from chance.",
    ),
    ({"factor": "set.w", "one": "a/b/c.h5"}, "`set.w=c.h5` is better than `set.w=encdec`"),
    (
        {"factor": "dataset", "one": "/a.h5", "other": "people/clips"},
        "`dataset=a.h5` is better than `dataset=people/clips`",
    ),
    ({"advantage": effects.Estimate(0.0, 1, 0.0, 0.0)}, "`unet` and `encdec` scored the same (6 pairs)."),
]


@pytest.mark.parametrize(("changes", "expected"), SENTENCES)
def test_sentences(changes, expected):
    assert expected in study_report.sentence(comparison(**changes), "mIoU")


def test_few_seeds_have_no_interval():
    one, two = effects.estimate([0.5]), effects.estimate([0.5, 0.75])
    assert one.low is None and not one.clear and study_report.interval_text(one) == "1 seed: no interval"
    assert study_report.interval_text(two) == "2 seeds, no interval: 0.50 and 0.75"
    assert effects.estimate([1.0, 1.1, 1.2]).clear and not effects.estimate([-1.0, 1.1, 1.2]).clear
    turned = effects.estimate([1.0, 1.1, 1.3]).turned()
    assert (
        turned.value == pytest.approx(-3.4 / 3)
        and turned.low < turned.plain[0] < turned.value < turned.plain[1] < turned.high < 0
    )


def test_ranges(tmp_path):
    points = [
        {"lr": round(float(lr), 3), "arch": arch} for lr, arch in zip(np.linspace(0.1, 0.9, 10), "ab" * 5, strict=True)
    ]
    result = study_report.analyse(study_rows.of_study(make_study(tmp_path, points, lambda lr, arch: lr**2)), {})
    (group,) = result["groups"]
    assert result["ranges"] == ["lr"] and group["ranges"]["lr"]["rho"] == pytest.approx(1) and not group["comparisons"]
    assert group["answers"] == [
        "`lr` and the score: Spearman's rho 1.00 (10 runs, 95 % interval 1.00 to 1.00, p < 0.001)."
    ]
    drawn = study_charts.charts(result)
    assert {"range lr A", "curves A"} <= set(drawn) and "`arch` has no main effect here" in study_blocks.markdown(
        study_blocks.blocks(result)
    )


def test_nothing_complete(tmp_path):
    write_run(tmp_path / "a", float("nan"), reported=False)
    runs = study_rows.of_folders([tmp_path / "a"])
    study_page.write(runs, tmp_path / "out", with_costs=False)
    assert "No run is complete yet" in (tmp_path / "out" / "report.md").read_text()


def test_each_network_is_measured_once(study, tmp_path, monkeypatch):
    runs, measured = study_rows.of_study(study), []
    for row in runs.rows:
        if row.counted:
            (row.folder / run_folders.MODEL).touch()

    def fake(folder):
        measured.append(folder.name)
        return {"error": "out of memory"} if len(measured) == 2 else COST

    monkeypatch.setattr(costs, "in_own_process", fake)
    found = study_report.measured_costs(runs, tmp_path)
    assert len(measured) == 3 == len(found), "one an architecture: seeds and weights cost the same"
    assert len(json.loads((tmp_path / "costs.json").read_text())) == 2
    assert study_report.measured_costs(runs, tmp_path, only_known=True) == {
        name: cost for name, cost in found.items() if "error" not in cost
    }
    again = study_report.measured_costs(runs, tmp_path)
    assert len(measured) == 4 and all("error" not in one for one in again.values()), (
        "what failed is tried again, what is known is not"
    )
    (group,) = study_report.analyse(runs, found)["groups"]
    assert {row["costs"]["GFLOPs"] for row in group["settings"]} == {2.0, None}
    told = study_blocks.markdown(study_blocks.blocks(study_report.analyse(runs, found)))
    assert "Costs could not be measured: out of memory" in told and "Costs were measured on CPU, 1 thread." in told


def test_the_front():
    assert study_charts.front([3, 1, 2, 4], [0.5, 0.2, 0.1, 0.4], True) == [1, 0]
    assert study_charts.front([3, 1, 2, 4], [0.5, 0.2, 0.1, 0.4], False) == [1, 2]


def test_bands():
    epochs, (mean, low, high) = study_charts.band([((1, 0.0), (2, 1.0)), ((1, 2.0),)])
    assert epochs.tolist() == [1, 2] and mean.tolist() == [1, 1] and low.tolist() == [0, 1] and high.tolist() == [2, 1]


def test_files(study, tmp_path):
    result = study_page.write(study_rows.of_study(study), tmp_path, with_costs=False)
    assert {path.name for path in tmp_path.iterdir()} == {
        f"report.{ending}" for ending in ("md", "json", "csv", "html")
    }
    stored = json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)
    assert len(stored["runs"]) == 18 and stored["groups"][0]["comparisons"][0]["advantage"]["plain"]
    assert stored["groups"][0]["answers"] == result["groups"][0]["answers"]
    with open(tmp_path / "report.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert (
        len(lines) == 18
        and lines[4]["error"] == "the loss | became nan"
        and lines[4]["score"] == ""
        and lines[0]["crop"] == "64"
    )
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    study_page.write(study_rows.of_study(study), tmp_path, with_costs=False)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before, "the same study, the same bytes"


@pytest.fixture
def call(capsys, monkeypatch):
    """Exit code, output and error of `python -m kzoo.report <arguments>`."""

    def called(*arguments):
        before = set(flags.FLAGS)
        monkeypatch.setattr(sys, "argv", ["report.py", *map(str, arguments)])
        report.define_flags()
        try:
            cli.run(report.main, positional=True)
            code = 0
        except SystemExit as stop:
            code = stop.code
        finally:
            for name in set(flags.FLAGS) - before:
                delattr(flags.FLAGS, name)
            flags.FLAGS.unparse_flags()
        found = capsys.readouterr()
        return code, found.out, found.err

    return called


def test_the_program(study, tmp_path, call, monkeypatch):
    code, out, _ = call(study, "--nocosts")
    assert (
        code == 0
        and "is better than" in out
        and (study / "report.html").exists()
        and f"wrote {study}/report.html" in out
    )
    (tmp_path / "runs" / "sweeps").mkdir(parents=True)
    shutil.copytree(study, tmp_path / "runs" / "sweeps" / "named")
    monkeypatch.chdir(tmp_path)
    assert call("named", "--nocosts", f"--out={tmp_path}/out")[0] == 0 and (tmp_path / "out" / "report.csv").exists()
    runs = [str(study / f"{number:03d}-x") for number in (0, 1, 2)]
    for arguments, match in [
        ((), "name a study, or the run folders"),
        (("named", runs[0]), "is a study: one study or several run folders"),
        (("nowhere",), "no run folder at nowhere"),
        ((runs[0], f"--out={runs[1]}"), "is a run folder, whose own report would be lost"),
    ]:
        code, _, err = call(*arguments)
        assert code == 2 and match in err and len(err.strip().splitlines()) == 1
