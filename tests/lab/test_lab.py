"""kzoo.lab with a train.py that only pretends: which runs, resuming and failing, the sentences, the pages; at the end
with the real one."""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pytest

pytest.importorskip("reportlab")
pytest.importorskip("pypdf")

import pypdf
import stand_in
from running import run_module
from stand_in import diary

from kzoo import UserError, cli
from kzoo import runs as run_folders
from kzoo.data import builders, pipeline
from kzoo.lab import __main__ as lab_program
from kzoo.lab import course, drawings, examples, findings, measurements, pages, plan, runner, tables
from kzoo.nn import encoders
from kzoo.runs import Run
from kzoo.sweep import study_trials

SIZES = stand_in.SPLITS
PARTS = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
JOINTS = ["nose", *(f"{side}_{part}" for part in PARTS for side in ("left", "right"))]
DRIVER = """
import sys
from kzoo import cli
from kzoo.lab import plan, runner
from kzoo.sweep import study_trials
study_trials.TRAIN, study_trials.PAUSE = (sys.executable, "-m", "stand_in"), 0.05
cli.hear_signals()
runs = plan.runs(plan.Settings("coco"), {"pose": {"train": 3150, "val": 764}, "seg": {"train": 1243, "val": 291}})
runner.work(sys.argv[1], runs[:3])
"""


@pytest.fixture
def fake(monkeypatch):
    """A train.py that only pretends is in use."""
    stand_in.use(monkeypatch, pause=0.02)


@pytest.fixture
def work(tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


def planned(**settings):
    return plan.runs(plan.Settings("coco", **settings), SIZES)


# Which runs


def test_each_change_is_one_change():
    for budget in plan.BUDGETS:
        found = {run.name: run for run in planned(budget=budget)}
        base = found[plan.SOFTARGMAX].arguments
        for run in found.values():
            if run.row.ablation:
                added = run.arguments[len(base) :]
                assert run.arguments[: len(base)] == base and len(added) == 1, run.name
                assert added[0] not in base
        scratch = [a for a in found[plan.SCRATCH].arguments if a not in found[plan.IMAGENET].arguments]
        assert scratch == ["--encoder_weights=none"]
        assert {run.row.task for run in found.values()} == {"pose", "seg"}


def test_train_understands_every_plan():
    from kzoo.sweep import parameters

    values = parameters.train_flags()
    for budget in plan.BUDGETS:
        for run in planned(budget=budget):
            values(["train.py", *run.arguments])
            values.unparse_flags()


@pytest.mark.parametrize(("there", "expected"), [(3150, "train[:1200]"), (1200, "train"), (7, "train")])
def test_no_slice_is_longer_than_its_split(there, expected):
    sizes = {task: {"train": there, "val": 5} for task in SIZES}
    assert f"--train_split={expected}" in plan.runs(plan.Settings("coco"), sizes)[0].arguments


def test_seeds_of_the_full_budget():
    names = [run.name for run in planned(budget="full", seed=3)]
    assert [name for name in names if name.startswith("unet")] == ["unet", "unet-seed4", "unet-seed5"]
    assert len(names) == len(set(names))
    assert "no-skips" in names and "no-skips-seed4" not in names


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"data_source": ""}, "--data_source"),
        ({"encoder_weights": "none"}, "from scratch"),
        ({"encoder_weights": "/no/such/file"}, "/no/such/file"),
        ({"budget": "huge"}, "quick, full"),
    ],
)
def test_settings_that_give_no_report(settings, words):
    with pytest.raises(UserError, match=words):
        plan.Settings(**{"data_source": "coco", **settings}).check()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, None),
        ({"data_dir": "elsewhere"}, None),
        ({"encoder": "vgg16"}, "--encoder=resnet50.*--encoder=vgg16"),
        ({"seed": 1}, "--seed=0.*--seed=1"),
        ({"data_source": "other"}, "--data_source=coco.*other"),
        ({"budget": "full"}, "--budget=quick.*full"),
    ],
)
def test_another_plan_in_the_same_folder(work, change, words):
    first = plan.Settings("coco")
    plan.keep(work, first, plan.runs(first, SIZES))
    settings = plan.Settings(**{"data_source": "coco", **change})
    if words:
        with pytest.raises(UserError, match=words):
            plan.keep(work, settings, plan.runs(settings, SIZES))
    else:
        plan.keep(work, settings, plan.runs(settings, SIZES))


@pytest.mark.parametrize("source", ["coco", "coco/", "./x/../coco", "{here}/coco", "link"])
@pytest.mark.parametrize("weights", ["w.h5", "./w.h5", "{here}/w.h5"])
def test_the_same_paths_in_other_words(work, tmp_path, monkeypatch, source, weights):
    monkeypatch.chdir(tmp_path)
    for name in ("coco", "other", "x"):
        pathlib.Path(name).mkdir()
    pathlib.Path("link").symlink_to("coco")
    for name in ("w.h5", "v.h5"):
        pathlib.Path(name).touch()

    def keep(source, weights):
        settings = plan.Settings(source, encoder_weights=weights)
        plan.keep(work, settings, plan.runs(settings, SIZES))

    first, again = ("coco", "w.h5"), (source.format(here=tmp_path), weights.format(here=tmp_path))
    keep(*again)
    keep(*first)
    text = (work / "plan.json").read_text().replace(f"{tmp_path}/", "")  # paths as typed, which older versions wrote
    (work / "plan.json").write_text(text)
    assert json.loads(text)["data_source"] == "coco" and "--encoder_weights=w.h5" in text
    keep(*again)
    monkeypatch.chdir(work)
    with pytest.raises(UserError, match="--data_source="):
        keep("../other", "../w.h5")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="--encoder_weights=.*v.h5"):
        keep("coco", "v.h5")


def test_a_plan_of_another_version(work):
    settings = plan.Settings("coco")
    runs = plan.runs(settings, SIZES)
    plan.keep(work, settings, runs)
    with pytest.raises(UserError, match="differs in regression-scratch;"):
        plan.keep(work, settings, [runs[0], *runs[2:]])


# Training them


def test_finished_runs_stay_and_cut_ones_go_on(fake, work):
    runs = planned()[:3]
    assert runner.work(work, runs) == {}
    assert diary(work, "starts") == [f"{run.name} new" for run in runs]
    (work / runs[1].name / run_folders.REPORT).unlink()  # killed while it was scored
    cut = Run.open(work / runs[2].name)
    cut.write_history(cut.history[:2])  # Ctrl-C after two epochs: it has a report
    assert runner.work(work, runs) == {}
    assert diary(work, "starts")[3:] == [f"{run.name} resumed" for run in runs[1:]]
    assert diary(work, "epochs")[12:] == [f"{runs[2].name} 3", f"{runs[2].name} 4"]
    assert runner.work(work, runs) == {} and len(diary(work, "starts")) == 5


def test_a_run_that_fails_is_named_and_tried_again(fake, work):
    runs = planned()[:3]
    (work / "crash").write_text(runs[1].name)
    assert runner.work(work, runs) == {runs[1].name: "the loss became nan"}
    assert [runner.is_finished(work / run.name) for run in runs] == [True, False, True]
    (work / "crash").unlink()
    assert runner.work(work, runs) == {}
    assert diary(work, "starts")[3:] == [f"{runs[1].name} resumed"]


def test_one_at_a_time(fake, work):
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])
    try:
        owner = {**study_trials.me(), "pid": other.pid, "birth": study_trials.birth(other.pid)}
        (work / study_trials.OWNER).write_text(json.dumps(owner))
        with pytest.raises(UserError, match=f"process {other.pid} .* is at work"):
            runner.work(work, planned()[:1])
    finally:
        other.kill()
        other.wait()
    assert runner.work(work, planned()[:1]) == {}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_stopped_and_continued(fake, work, number):
    (work / "slow").write_text("0.15")
    runs = planned()[:3]
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(work)], stderr=subprocess.DEVNULL)
    end = time.time() + 30
    while f"{runs[1].name} 2" not in diary(work, "epochs"):
        assert time.time() < end and driver.poll() is None
        time.sleep(0.02)
    os.kill(driver.pid, number)
    assert driver.wait(10) != 0
    (work / "slow").unlink()
    assert runner.work(work, runs) == {}
    expected = [f"{run.name} {epoch}" for run in runs for epoch in range(1, 5)]
    found = diary(work, "epochs")
    assert list(dict.fromkeys(found)) == expected  # in order, none left out
    assert len(found) <= len(expected) + 1  # of the epoch that was cut
    spent = [study_trials.LaunchedFolder(work / run.name).seconds for run in runs]
    assert spent[0] > 0 and spent[2] > 0
    assert spent[1] is None if number == signal.SIGKILL else spent[1] > 0  # nobody saw the end of a part


# What the numbers say


def row(score, task="pose", **changes):
    curve = {"train": [score + 6, score - 2], "val": [score + 5, score]}
    by_seed = {str(seed): score for seed in range(changes.get("seeds", 1))}
    common = {
        "task": task,
        "arch": "softargmax",
        "words": "a row",
        "score": score,
        "spread": None,
        "seeds": 1,
        "curve": curve,
    }
    more = {
        "epochs": 2,
        "best_epoch": 2,
        "gap": 2.0,
        "ablation": False,
        "tables": {},
        "scores": {},
        "parameters": 0,
        "cpu_minutes": None,
    }
    return {**common, **more, "by_seed": by_seed, **changes}


def seeded(by_seed, task="pose", **changes):
    """A row of these scores."""
    values = list(by_seed.values())
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return row(float(np.mean(values)), task, **{"by_seed": by_seed, "seeds": len(values), "spread": spread, **changes})


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (row(20.0), row(25.0), "A is better than B by 5.0 px (20 %: 20.0 px against 25.0 px)"),
        (row(25.0), row(20.0), "A is worse than B by 5.0 px (25 %: 25.0 px against 20.0 px)"),
        (row(20.0), row(20.1), "A and B are level (20.0 px against 20.1 px)"),
        (row(0.6, "seg"), row(0.5, "seg"), "A is better than B by 0.100 mIoU (20 %: 0.600 mIoU against 0.500 mIoU)"),
        (row(0.5, "seg"), row(0.6, "seg"), "A is worse than B by 0.100 mIoU (17 %: 0.500 mIoU against 0.600 mIoU)"),
        (
            row(20.0, spread=3.0, seeds=3),
            row(22.0, spread=1.0, seeds=3),
            "A is better than B by 2.0 px (9 %: 20.0 px against 22.0 px), within the spread of 3 seeds",
        ),
        (
            seeded({"0": 20.0, "1": 40.0}),
            seeded({"1": 50.0}),
            "A is better than B by 10.0 px (20 %: 40.0 px against 50.0 px, seed 1), within the spread of 2 seeds",
        ),
        (
            seeded({"0": 20.0}),
            seeded({"1": 25.0}),
            "A is better than B by 5.0 px (20 %: 20.0 px against 25.0 px, of different seeds)",
        ),
    ],
)
def test_compare(one, other, expected):
    assert findings.compare("A", one, "B", other) == expected


CONDITION = {"size": 96, "epochs": 6, "trained_on": "train[:1200]", "splits": {"train": 3150, "val": 764}}
SPREADS = {"softargmax": 10.0, "no-regulariser": 25.0}
WIDER = {"softargmax": 30.0, "no-regulariser": 20.0}
SETTING = "inputs of 96 px, 6 epochs on 1,200 of 3,150 training examples"


@pytest.mark.parametrize(
    ("arch", "score", "expected"),
    [
        ("regression", 12.99, "The course's target of 13 px is met."),
        ("regression", 13.0, f"The course's target of 13 px is missed by 0.0 px: {SETTING}."),
        ("softargmax", 12.5, f"The course's target of 11 px is missed by 1.5 px: {SETTING}."),
    ],
)
def test_target(arch, score, expected):
    assert findings.target(arch, score, CONDITION) == expected


def changed(score, seed="0"):
    return seeded({seed: score}, ablation=True, words="x")


BASE = seeded({"0": 18.0, "1": 20.0, "2": 22.0})  # its mean is 20
ALONE = "One seed a row: how far chance alone would move these numbers was not measured"


def numbers_of(**rows):
    return {
        "rows": {name.replace("_", "-"): r for name, r in rows.items()},
        "failed": {},
        "baselines": {},
        "conditions": {"pose": CONDITION},
    }


@pytest.mark.parametrize(
    ("part", "found", "said"),
    [
        (
            "initialisation",
            numbers_of(regression=row(30.0), regression_scratch=row(25.0)),
            "from ImageNet is worse than training from scratch by 5.0",
        ),
        (
            "initialisation",
            numbers_of(regression=row(20.0), regression_scratch=row(25.0)),
            "best value is reached in epoch 1 of 2",
        ),
        (
            "heads",
            numbers_of(regression=row(20.0), softargmax=row(22.0)),
            "Soft-argmax (base) is worse than scalar regression by 2.0 px",
        ),
        ("choices", numbers_of(softargmax=row(20.0), x=changed(18.0)), "Better than the base of 20.0 px: x (-2.0 px)"),
        ("choices", numbers_of(softargmax=row(20.0), x=changed(20.1)), "Level with it (within 1 %): x (+0.1 px)"),
        ("choices", numbers_of(softargmax=row(20.0), x=changed(20.1)), f"{ALONE}."),
        (
            "choices",
            numbers_of(softargmax=BASE, x=changed(19.0)),
            "Worse than the base of 18.0 px (seed 0): x (+1.0 px).",
        ),
        ("choices", numbers_of(softargmax=BASE, x=changed(19.0)), f"{ALONE}; the base's 3 seeds spread by 2.0 px."),
        (
            "choices",
            numbers_of(softargmax=BASE, x=changed(19.0, "5")),
            "Not compared, for the base has no run of their seed: x.",
        ),
        (
            "heads",
            numbers_of(softargmax=BASE, x=changed(17.0), regression=row(20.0)),
            "The best row of soft-argmax is: x, 17.0 px, against 18.0 px of the base (seed 0).",
        ),
        (
            "heads",
            numbers_of(softargmax=BASE, x=changed(17.0), regression=row(17.0)),
            "by 1.0 px (6 %: 18.0 px against 17.0 px, seed 0)",
        ),
        (
            "overfitting",
            numbers_of(softargmax=row(20.0, curve={"train": [20, 10.0], "val": [18.0, 21.0]}, best_epoch=1)),
            "rose again in 1 of 1 rows: a row (+3.0 px since epoch 1)",
        ),
        ("overfitting", numbers_of(softargmax=row(20.0)), "In none of the 1 rows"),
        ("evolution", numbers_of(regression=row(20.0)), "on the training set and falls from 25.0 px to 20.0 px"),
        ("evolution", numbers_of(), "Not answered, for runs are missing. regression: not trained."),
        ("networks", {**numbers_of(), "failed": {"fcn": "no memory"}}, "fcn: no memory"),
        (
            "maps",
            {**numbers_of(softargmax=row(20.0)), "spreads": SPREADS},
            "by 25 px without the regulariser, which narrows them 2.5-fold",
        ),
        ("maps", {**numbers_of(softargmax=row(20.0)), "spreads": WIDER}, "which widens them 1.5-fold"),
    ],
)
def test_sentences_follow_the_numbers(part, found, said):
    needed, sentences = findings.ITEMS[part]
    if part == "overfitting" or set(needed) <= set(found["rows"]):
        told = " ".join(sentences(found))
    else:
        told = " ".join(findings.findings({**found, "rows": {}})[part])
    assert said in told


@pytest.mark.parametrize(
    ("rows", "best"),
    [
        (
            {"softargmax": BASE, "x": changed(19.0), "y": changed(18.5)},
            "softargmax",
        ),  # 19.0 is below the base's mean, above its seed 0
        ({"softargmax": BASE, "x": changed(19.0), "y": changed(17.0)}, "y"),
        ({"softargmax": BASE, "x": changed(10.0, "5")}, "softargmax"),
        ({"x": changed(19.0), "y": changed(18.5)}, "y"),
        ({}, None),
    ],
)
def test_best_is_by_the_base_at_the_same_seed(rows, best):
    assert measurements.best_softargmax(rows) == best
    score = f"soft-argmax <b>{rows[best]['score']:.1f} px</b>" if best else "encoder resnet50"
    assert tables.subtitle({"settings": vars(plan.Settings("coco")), "rows": rows}).count(score) == 1


@pytest.mark.parametrize(("seed", "told"), [("0", "+1.0"), ("2", "-3.0"), ("5", "")])
def test_the_table_subtracts_the_base_at_the_same_seed(seed, told):
    table = tables.pose_table(numbers_of(softargmax=BASE, x=changed(19.0, seed)))
    assert [cells[2] for cells in table] == ["to base", "base", told]


def test_rows_are_means_over_seeds(fake, work):
    runs = [run for run in planned(budget="full") if run.row.name == plan.UNET]
    runner.work(work, runs)
    found = measurements.row(work, runs)
    assert found["score"] == pytest.approx(0.707) and found["spread"] == pytest.approx(0.007) and found["seeds"] == 3
    assert found["gap"] == pytest.approx(-0.1 * 0.707) and found["best_epoch"] == 4
    assert 0 < found["cpu_minutes"] < 1
    assert found["background"] == pytest.approx(0.8 / 2)
    assert found["by_seed"] == pytest.approx({"0": 0.7, "1": 0.707, "2": 0.714})
    assert found["tables"]["IoU per class"]["person"] == pytest.approx(0.607)


SEEDS = [
    ({"unet": [0]}, "seed 0;", False),
    ({"unet": [0, 1, 2]}, "seeds 0, 1, 2 (mean ± SD);", True),
    ({"unet": [1, 2]}, "seeds 1, 2 (mean ± SD);", True),  # the first one failed
    ({"unet": [1, 2], "fcn": [0]}, "seeds 0, 1, 2 (mean ± SD; a row without ± has one seed);", True),
]


@pytest.mark.parametrize(("ended", "told", "several"), SEEDS)
def test_seeds_and_gaps_are_those_of_the_runs_that_ended(fake, work, monkeypatch, ended, told, several):
    runs = [run for run in planned(budget="full") if run.seed in ended.get(run.row.name, ())]
    runner.work(work, runs)
    monkeypatch.setattr(pipeline, "values", lambda *_: pytest.fail("no run of pose"))
    found = measurements.collect(work, plan.Settings("coco", "full"), runs, {}, {"pose": None, "seg": None})
    lines = " ".join(tables.conditions(found, ""))
    assert told in lines and ("pictures are of the first of them" in lines) == several
    unet = found["rows"]["unet"]
    last = {
        split: np.mean([Run.open(work / r.name).history[-1][f"{split}_miou"] for r in runs if r.row.name == "unet"])
        for split in unet["curve"]
    }
    cells = dict(zip(*tables.seg_table({**found, "rows": {"unet": unet}})[:2], strict=True))
    assert cells["train"] == f"{last['train']:.3f}" and unet["gap"] == pytest.approx(last["val"] - last["train"])
    assert (
        f"decoder with skips, {last['train']:.3f} against {last['val']:.3f}."
        in findings.networks({**found, "rows": {"unet": unet}})[-1]
    )


def test_sentences_and_table_of_pose_agree_over_seeds(fake, work):
    runs = [run for run in planned(budget="full") if run.row.name in (plan.IMAGENET, plan.SOFTARGMAX)]
    runner.work(work, runs)
    rows = {
        name: measurements.row(work, [run for run in runs if run.row.name == name])
        for name in (plan.IMAGENET, plan.SOFTARGMAX)
    }
    found = {**numbers_of(), "rows": rows}
    for cells, r in zip(tables.pose_table(found)[1:], rows.values(), strict=True):
        assert f"{cells[4]} px (training {cells[3]}, evaluation " in findings.gap(r)
    trained = tables.pose_table(found)[1][3]
    assert f"the error (mean of 3 seeds) falls from 28.1 px to {trained} px" in findings.evolution(found)[0]


def test_mean_pose(monkeypatch):
    train = np.array([[[0.2, 0.2, 2], [0, 0, 0]], [[0.4, 0.2, 1], [0.5, 0.5, 2]]], "float32")
    val = np.array([[[0.3, 0.3, 2], [0.9, 0.9, 0]], [[0.3, 0.2, 2], [0.5, 0.4, 1]]], "float32")
    monkeypatch.setattr(
        pipeline, "values", lambda builder, split, feature: iter({"train[:2]": train, "val[:2]": val}[split])
    )
    held = {"pose": {"trained_on": "train[:2]", "split": "val[:2]"}}
    assert measurements.baselines({"pose": None}, {}, held)["mean_pose_px"] == pytest.approx(
        256 * (0.1 + 0 + 0.1) / 3, rel=1e-5
    )


@pytest.mark.parametrize("sigma", [0.05, 0.1])
def test_spread_of_a_gaussian(sigma):
    y, x = np.mgrid[:64, :64] / 64
    maps = np.exp(-((x - 0.5) ** 2 + (y - 0.4) ** 2) / (2 * sigma**2))
    maps = np.stack([maps / maps.sum(), np.ones_like(maps) / maps.size], axis=-1)[None]
    labels = np.array([[[0, 0, 2], [0, 0, 0]]])  # the second joint, of the flat map, is not labelled
    assert examples.spread(maps, labels) == pytest.approx(256 * sigma, rel=0.01)


@pytest.mark.parametrize(("errors", "expected"), [([3, 1, 2, np.nan], [1, 2, 0]), ([5.0], [0]), ([np.nan], [])])
def test_examples_at_quantiles(errors, expected):
    assert examples.at_quantiles(np.array(errors), (0.0, 0.5, 1.0)) == expected


# The pages


def looked(*_):
    """What `course.look` gives, made up."""
    random = np.random.default_rng(0)

    def person(**more):
        picture = {
            "image": random.integers(0, 255, (96, 96, 3), "uint8"),
            "label": np.c_[random.random((17, 2)), np.full(17, 2)],
        }
        return {**picture, "coords": random.random((17, 2)), **more}

    persons = [person(title=f"{i} %", maps=random.random((24, 24, 17))) for i in (10, 50, 90)]
    failed = [
        person(cause=cause, joint=16, error=100.0)
        for cause in ("miss", "jitter", "occluded", "left-right")
        for _ in range(2)
    ]
    compared = {name: random.random((24, 24, 17)) for name in (plan.SOFTARGMAX, plan.NO_REGULARISER)}
    shown = [
        {
            "image": random.integers(0, 255, (96, 96, 3), "uint8"),
            "truth": random.integers(0, 2, (96, 96)),
            "answers": {name: random.integers(0, 2, (96, 96)) for name in plan.SEGMENTATION},
            "iou": dict.fromkeys(plan.SEGMENTATION, 0.5),
        }
        for _ in range(4)
    ]
    return {"names": JOINTS, "persons": persons, "failures": failed, "compared": compared}, {
        "names": ["background", "person"],
        "pictures": shown,
    }


@pytest.fixture
def program(fake, tmp_path, monkeypatch, capsys):
    """Runs kzoo.lab on made-up data: (arguments) -> exit code, output, errors."""
    prepared = {f"coco_subset/{task}": types.SimpleNamespace(task=task) for task in SIZES}
    monkeypatch.setattr(builders, "prepare", lambda name, *_: prepared[name])
    monkeypatch.setattr(builders, "size_of", lambda builder, split: SIZES[builder.task][split])
    labels = np.full((2, 17, 3), 0.5) + np.arange(2)[:, None, None] / 10
    monkeypatch.setattr(
        pipeline, "values", lambda builder, split, _: iter({"train[:1200]": labels, "val": labels}[split])
    )
    encode = encoders.encode  # nothing is downloaded
    monkeypatch.setattr(
        encoders, "encode", lambda image, name, weights: weights == "imagenet" or encode(image, name, weights)
    )
    monkeypatch.setattr(course, "look", looked)
    monkeypatch.setattr(drawings, "DPI", 50)
    monkeypatch.setattr(cli, "hear_signals", lambda: None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "coco").mkdir()  # that it is there is looked at before anything starts
    return lambda *arguments: run_module(lab_program, capsys, monkeypatch, "--data_source=coco", *arguments)


def text_of(path) -> str:
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(path).pages)


def test_the_report(program, tmp_path):
    code, out, err = program("--out=here/report.pdf")
    assert code == 0, err
    assert "11 runs in here/report-runs, 0 of them finished" in out and "about 55 CPU minutes" in out
    path = tmp_path / "here" / "report.pdf"
    kept = json.loads(path.with_suffix(".json").read_text())
    assert path.stat().st_size < 5e6 and len(pypdf.PdfReader(path).pages) == kept["pages"] <= 2
    text = " ".join(text_of(path).split())
    assert kept["rows"]["regression"]["score"] == 22.5 and kept["rows"]["unet"]["score"] == 0.7
    for said in (
        "22.5",
        "24.5",
        "0.700",
        "0.600",
        "0.500",
        "1,200 of 3,150",
        "0123456789ab",
        "ground truth x 1.25",
        "2 CPU cores",
        "seed 0",
        "loss l1, adam",
        "loss cross_entropy",
    ):
        assert said in text, said
    for heading in (
        "1 MPJPE over the epochs",
        "2 What the ImageNet",
        "3 Design choices",
        "4 Poses, latent maps",
        "5 Encoder alone",
    ):
        assert heading in text
    assert "target of 13 px is missed by 9.5 px" in text
    first = path.read_bytes()
    code, out, err = program("--out=here/report.pdf")
    assert code == 0 and "11 of them finished" in out and len(diary(tmp_path / "here" / "report-runs", "starts")) == 11
    assert path.read_bytes() == first


def test_a_failed_run_is_in_the_report(program, tmp_path):
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "crash").write_text("encdec")
    code, _, err = program("--work=w", "--out=r.pdf")
    assert code == 1 and "encdec failed; the same command tries again" in err
    text = " ".join(text_of("r.pdf").split())
    assert (
        "Failed: encdec: the loss became nan" in text
        and "Not answered, for runs are missing. encdec: the loss became nan." in text
    )
    assert "22.5" in text  # the others stay
    (tmp_path / "w" / "crash").unlink()
    code, _, _ = program("--work=w", "--out=r.pdf")
    assert code == 0 and "Failed" not in text_of("r.pdf")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--out=a_file/report.pdf"], "could not write to a_file"),
        (["--out=report.txt"], "--out=report.txt must end with .pdf"),
        (["--encoder=nothing"], "unknown --encoder='nothing'"),
        (
            ["--encoder=small"],
            "no ImageNet weights for --encoder=small; give --encoder_weights=<file>, or one of: resnet50, ",
        ),
        (["--encoder=resnet18_torch"], "no ImageNet weights for --encoder=resnet18_torch"),
        (["--encoder=small", "--encoder_weights=other.weights.h5"], "other.weights.h5 does not hold weights of small"),
        (
            ["--encoder=mobilenetv2", "--encoder_weights=small.weights.h5"],
            "small.weights.h5 does not hold weights of mobilenetv2",
        ),
        (["--encoder=small", "--encoder_weights=a_file"], "a_file does not hold weights of small"),
        (["--encoder_weights=none"], "allowed: imagenet or a file"),
        (["--budget=huge"], "quick|full"),
        (["extra"], "unexpected argument 'extra'"),
    ],
)
def test_mistakes_are_one_line(program, tmp_path, recwarn, arguments, words):
    save_small(tmp_path / "other.weights.h5", widths=(4, 4, 4, 4, 4))
    save_small(tmp_path / "small.weights.h5")
    (tmp_path / "a_file").write_text("no folder, no weights")
    code, _, err = program("--out=report.pdf", *arguments)
    assert code == 2 and words in err and len(err.strip().splitlines()) == 1, err
    assert not (tmp_path / "report-runs").exists()
    assert not [
        str(warning.message) for warning in recwarn if "layers" in str(warning.message)
    ]  # each would be lines of its own


def save_small(path, **options):
    import keras

    encoders.small(keras.Input((64, 64, 3)), **options).save_weights(path)


def test_the_encoders_own_weights_are_taken(tmp_path):
    save_small(tmp_path / "small.weights.h5")
    course.check_encoder(plan.Settings("coco", encoder="small", encoder_weights=str(tmp_path / "small.weights.h5")))


def test_the_numbers_stay_where_the_pages_cannot_be_laid_out(program, tmp_path, monkeypatch):
    monkeypatch.setattr(
        drawings, "iou_curves", lambda rows: drawings.sheet(600)
    )  # higher than a page, also at the least scale
    code, _, err = program("--work=w", "--out=r.pdf")
    assert code == 2 and "could not be laid out" in err and "Traceback" not in err
    kept = json.loads((tmp_path / "r.json").read_text())
    assert kept["rows"]["unet"]["score"] == 0.7 and kept["findings"]["networks"] and kept["pages"] is None
    assert not (tmp_path / "r.pdf").exists()
    monkeypatch.setattr(drawings, "iou_curves", lambda rows: drawings.sheet(290))  # fits once it is smaller
    code, _, _ = program("--work=w", "--out=r.pdf")
    assert code == 0 and json.loads((tmp_path / "r.json").read_text())["pages"] == 2


def test_nothing_trained_is_no_report(program, tmp_path):
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "crash").write_text(" ".join(run.name for run in planned()))
    code, _, err = program("--work=w", "--out=r.pdf")
    assert code == 2 and "nothing to report" in err and not (tmp_path / "r.pdf").exists()


def test_more_than_two_pages_are_refused(program, tmp_path):
    program("--work=w", "--out=r.pdf")
    found = json.loads((tmp_path / "r.json").read_text())
    drawn = pages.figures_of(found, *looked())
    before = (tmp_path / "r.pdf").read_bytes()
    long = {**found["findings"], "failures": ["Many words of no use."] * 800}
    with pytest.raises(UserError, match="3 pages|4 pages"):
        pages.write(tmp_path / "r.pdf", found, long, "command", drawn)
    assert (tmp_path / "r.pdf").read_bytes() == before
    smaller = {**found["findings"], "failures": ["Many words of no use."] * 150}
    assert pages.write(tmp_path / "r.pdf", found, smaller, "command", drawn) == 2


@pytest.mark.slow
def test_all_of_it_on_a_tiny_coco_folder(tmp_path, monkeypatch, capsys):
    import keras

    monkeypatch.syspath_prepend(pathlib.Path(__file__).parents[1] / "datasets")
    from test_coco_subset import write_folder

    from kzoo.nn.encoders import ENCODERS

    encoder, source = ENCODERS["small"], write_folder(tmp_path / "coco")
    encoder.build(encoder.scale(keras.Input((64, 64, 3)))).save_weights(tmp_path / "small.weights.h5")
    tiny = ("size=64", "epochs=2", "batch_size=1", "lr=1e-3")
    quick = dataclasses.replace(
        plan.BUDGETS["quick"],
        flags={"pose": tiny, "seg": tiny},
        widths={"softargmax": (8, 8), "encdec": (8, 8), "unet": (8, 8)},
    )
    monkeypatch.setattr(plan, "BUDGETS", {"quick": quick})
    monkeypatch.setattr(plan, "ROWS", [row for row in plan.ROWS if not row.ablation or row.name == plan.NO_REGULARISER])
    monkeypatch.setattr(cli, "hear_signals", lambda: None)
    monkeypatch.setattr(examples, "LARGE", 0.0)
    monkeypatch.chdir(tmp_path)
    arguments = (
        f"--data_source={source}",
        f"--data_dir={tmp_path / 'tfds'}",
        "--encoder=small",
        "--encoder_weights=small.weights.h5",
    )
    code, out, err = run_module(lab_program, capsys, monkeypatch, *arguments, "--out=report.pdf")
    assert code == 0, err
    kept = json.loads((tmp_path / "report.json").read_text())
    text = " ".join(text_of("report.pdf").split())
    assert kept["pages"] == 2 and set(kept["rows"]) == {row.name for row in plan.ROWS}
    for row in kept["rows"].values():
        assert (f"{row['score']:.1f}" if row["task"] == "pose" else f"{row['score']:.3f}") in text
    assert set(kept["spreads"]) == {plan.SOFTARGMAX, plan.NO_REGULARISER} and all(
        0 < s < 128 for s in kept["spreads"].values()
    )
    assert kept["baselines"]["mean_pose_px"] > 0
