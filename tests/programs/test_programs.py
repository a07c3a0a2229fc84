"""train.py, eval.py and kzoo.report as a user runs them: whole runs on a small data set, mistakes, interruptions,
resuming."""

import csv
import errno
import functools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from running import ROOT, one_line, run

QUICK = ("--size=64", "--epochs=2", "--batch_size=16", "--set=widths=(16,16,16,16)")


def history(folder):
    with open(pathlib.Path(folder) / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def trained(people_dir, tmp_path_factory):
    """A finished run of seg/unet, made by the program itself."""
    folder = tmp_path_factory.mktemp("runs") / "unet"
    subprocess.run(
        [sys.executable, "train.py", f"--data_dir={people_dir}", f"--out={folder}", *QUICK], cwd=ROOT, check=True
    )
    return folder


def test_run_folder_is_complete(trained):
    names = {
        "README.md",
        "run.json",
        "history.csv",
        "curves.png",
        "model.keras",
        "last.weights.h5",
        "report.json",
        "report.md",
        "pictures",
        "tensorboard",
    }
    assert names == {path.name for path in trained.iterdir()}
    stored = json.loads((trained / "run.json").read_text())
    assert (
        stored["flags"]["epochs"] == 2
        and stored["flags"]["lr"]
        and stored["dataset"]["fingerprint"]
        and stored["parameters"] > 0
    )
    rows = history(trained)
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert {"train_miou", "val_miou", "loss", "images_per_second"} <= set(rows[0])
    assert {path.name for path in (trained / "pictures").iterdir()} == {
        "segmentation.png",
        "confusion.png",
        "iou_per_class.png",
    }


def test_report_equals_the_history(trained):
    """The exact scores of the float32 rebuild are those Keras's metric streamed for the best epoch."""
    scores = json.loads((trained / "report.json").read_text())["scores"]
    assert abs(scores["miou"] - max(float(row["val_miou"]) for row in history(trained))) < 1e-4


def test_eval_scores_draws_and_exports(trained, people_dir, tmp_path, capsys, monkeypatch):
    code, out, err = run(
        capsys,
        monkeypatch,
        "eval.py",
        f"--run={trained}",
        "--tta=flip",
        "--pictures=4",
        "--export=saved_model",
        f"--out={tmp_path}",
    )
    assert code == 0, err
    report = json.loads((tmp_path / "report.json").read_text())
    assert (
        report["tta"] == "flip"
        and max(report["export"]["saved_model"]["difference"].values()) <= 1e-4
        and (trained / "saved_model" / "saved_model.pb").exists()
    )
    assert (
        "miou" in out
        and len(report["confusion"]) == 7
        and {"segmentation.png", "confusion.png"} <= set(os.listdir(tmp_path / "pictures"))
    )


CRAFT = (
    "--arch=unet2015",
    "--size=64x96",
    "--epochs=2",
    "--batch_size=16",
    "--set=width=4",
    "--set=depth=2",
    "--normalise=whiten",
    "--norm=group",
    "--dropout=0.1",
    "--bias=0.05",
    "--color_pca=0.1",
    "--crop=0.2",
    "--class_weights=median_frequency",
    "--border=10,5",
    "--l2=1e-5",
    "--ema=0.9",
    "--schedule=plateau",
    "--lr_base_batch=8",
    "--loss=bootstrapped",
)


def test_every_craft_at_once_and_test_time_augmentation(people_dir, tmp_path, capsys, monkeypatch):
    """An oblong network with all of the training craft trains, is rebuilt with its input statistics, and is scored at
    another size."""
    folder = tmp_path / "craft"
    code, out, err = run(capsys, monkeypatch, "train.py", f"--data_dir={people_dir}", f"--out={folder}", *CRAFT)
    assert code == 0, err
    stored = json.loads((folder / "run.json").read_text())
    assert len(stored["colours"]["mean"]) == 3 and set(stored["class_weights"]) == set(stored["names"])
    assert "--border=10,5" in (folder / "report.md").read_text()
    report = json.loads((folder / "report.json").read_text())
    assert abs(report["scores"]["miou"] - max(float(row["val_miou"]) for row in history(folder))) < 1e-4
    code, out, err = run(
        capsys, monkeypatch, "eval.py", f"--run={folder}", "--size=100x140", "--tta=all", f"--out={tmp_path}"
    )
    assert code == 0, err
    gains = json.loads((tmp_path / "report.json").read_text())["gains"]
    assert {name: found["passes"] for name, found in gains.items()} == {
        "none": 1,
        "flip": 2,
        "scales": 3,
        "color_pca": 5,
        "crops": 6,
        "all": 13,
    }
    assert len({round(found["pixel_accuracy"], 9) for found in gains.values()}) > 3 and "gain per extra pass" in out


def test_tiles_answer_as_the_whole_picture(trained, people_dir, tmp_path, capsys, monkeypatch):
    """One tile as large as the picture is the whole picture; smaller ones come close."""
    scores = []
    for arguments in ((), ("--tile=128",), ("--tile=96", "--overlap=64")):
        out = tmp_path / str(len(scores))
        code, _, err = run(
            capsys,
            monkeypatch,
            "eval.py",
            f"--run={trained}",
            "--size=128",
            "--split=val[:8]",
            f"--out={out}",
            *arguments,
        )
        assert code == 0, err
        scores.append(json.loads((out / "report.json").read_text())["scores"]["pixel_accuracy"])
    assert scores[0] == pytest.approx(scores[1], abs=1e-6) and scores[0] == pytest.approx(scores[2], abs=0.05)


@pytest.mark.slow
def test_rates_are_tried(people_dir, tmp_path, capsys, monkeypatch):
    """--find_lr draws its picture and trains nothing."""
    code, out, err = run(
        capsys, monkeypatch, "train.py", f"--data_dir={people_dir}", f"--out={tmp_path}", *QUICK, "--find_lr"
    )
    assert code == 0 and "try --lr=" in out, err
    found = json.loads((tmp_path / "lr_range.json").read_text())
    assert (
        1e-6 < found["suggestion"] < 1
        and (tmp_path / "lr_range.png").stat().st_size > 5000
        and not (tmp_path / "model.keras").exists()
    )


def test_pose_trains_and_is_scored(people_dir, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "pose"
    code, out, err = run(
        capsys,
        monkeypatch,
        "train.py",
        "--task=pose",
        "--arch=softargmax",
        f"--data_dir={people_dir}",
        f"--out={folder}",
        "--size=64",
        "--epochs=1",
        "--batch_size=16",
        "--set=widths=(16,16)",
        "--loss=l2",
    )
    assert code == 0, err
    report = json.loads((folder / "report.json").read_text())
    assert report["scores"]["mpjpe"] > 0 and len(report["tables"]["MPJPE per joint (px)"]) == 17
    assert (
        set(os.listdir(folder / "pictures")) == {"poses.png", "heatmaps.png", "failures.png"}
        and "best epoch 1 of 1" in out
    )


def test_reports_side_by_side(trained, tmp_path):
    again = shutil.copytree(trained, tmp_path / "again" / trained.name)
    command = [sys.executable, "-m", "kzoo.report", trained, again, trained, f"--out={tmp_path}", "--nocosts"]
    done = subprocess.run(list(map(str, command)), cwd=ROOT, check=True, capture_output=True, text=True)
    assert "| unet |" in done.stdout and (tmp_path / "comparison.png").stat().st_size > 1000
    assert len(json.loads((tmp_path / "comparison.json").read_text())) == 2


MISTAKES = [
    (("--size=64x",), "--size='64x' must be a number of pixels or <height>x<width>"),
    (("--task=pose", "--arch=heatmap", "--size=64x96"), "--task=pose works on square crops, got --size=64x96"),
    (("--border=10",), "--border=10 must be a weight and a sigma"),
    (("--task=pose", "--arch=heatmap", "--class_weights=median_frequency"), "--class_weights is for --task=seg"),
    (("--ema=1.0",), "--ema must lie in [0, 1)"),
    (("--loss=dice", "--loss_set=bootstrap=-1"), "bootstrap"),
    (("--set=upsampling=cubic",), "upsampling must be one of"),
    (("--task=pose", "--arch=cpm", "--normalise=zscore"), "cpm has no hyperparameter 'scaling'"),
    (("--task=flow",), "unknown --task='flow'; allowed: pose, seg"),
    (("--arch=hrnet",), "unknown --arch='hrnet'; allowed: fcn, encdec, unet"),
    (("--lerning_rate=1",), "lerning_rate"),
    (("--epochs=none",), "epochs"),
    (("--epochs=0",), "epochs"),
    (("extra",), "unexpected argument 'extra'"),
    (("--dataset=imagenet",), "unknown dataset 'imagenet'; allowed: people"),
    (("--encoder=resnet9",), "unknown --encoder='resnet9'; allowed: resnet50"),
    (("--encoder=vgg16", "--encoder_weights=/nowhere.h5"), "no encoder weights at '/nowhere.h5'"),
    (("--set=widhts=(8,)",), "no hyperparameter 'widhts'"),
    (("--set=widths",), "must read --set=<name>=<value>"),
    (("--size=65",), "multiple of 32"),
    (("--loss=l1",), "unknown --loss='l1'; allowed: cross_entropy"),
    (("--loss_set=smoothing=1",), "smoothing"),
    (("--schedule=step",), "--milestones"),
    (("--train_split=test",), "unknown split 'test'; allowed: train, val"),
    (("--batch_size=1000",), "fewer than --batch_size=1000"),
    (("--data_source=/nowhere",), "--data_source"),
    (("--dataset=coco_subset", "--data_source=/nowhere"), "no data at --data_source='/nowhere'"),
    (("--task=pose", "--arch=regression", "--dataset=coco_subset"), "is not prepared in"),
    (("--resume",), "--resume needs --out"),
    (
        ("--task=pose", "--arch=hourglass", "--encoder=small"),
        "hourglass is a network of its own: it takes no --encoder",
    ),
    (
        ("--task=pose", "--arch=hourglass", "--size=96", "--set=depth=4"),
        "needs maps of a multiple of 16 cells, got 24x24",
    ),
    (("--task=pose", "--arch=heatmap", "--set=target=square"), "target must be one of gaussian, disc, got 'square'"),
    (
        ("--task=pose", "--arch=part_heatmap", "--set=variant=resnet"),
        "variant must be one of vgg, hourglass, got 'resnet'",
    ),
    (
        ("--task=pose", "--arch=hourglass_attention", "--loss_weights=attention=1"),
        "this output is for pictures and has no loss",
    ),
    (("--task=pose", "--arch=hourglass", "--loss=l1"), "unknown --loss='l1'; allowed: mse"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_mistakes_are_one_line_and_exit_code_2(arguments, message, people_dir, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, monkeypatch, "train.py", f"--data_dir={people_dir}", *arguments)
    assert code == 2 and message in one_line(err)
    assert not list(tmp_path.rglob("run.json")), "a run that never began looks like one"


def test_truncated_annotations_and_corrupt_pictures_are_named(tmp_path, capsys, monkeypatch):
    source = tmp_path / "coco"
    (source / "annotations").mkdir(parents=True)
    (source / "images").mkdir()
    for split in ("train", "val"):
        (source / "annotations" / f"person_keypoints_{split}.json").write_text('{"images": [{"id": 1, "file_na')
    arguments = (
        "--task=pose",
        "--arch=regression",
        "--dataset=coco_subset",
        f"--data_source={source}",
        f"--data_dir={tmp_path / 'd'}",
    )
    code, _, err = run(capsys, monkeypatch, "train.py", *arguments, f"--out={tmp_path / 'run'}")
    assert code == 2 and "person_keypoints_train.json" in one_line(err)

    keypoints = [40.0, 60.0, 2] * 17
    for split, image in (("train", 1), ("val", 2)):
        (source / "images" / f"{image}.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a picture")
        picture = {"id": image, "file_name": f"{image}.jpg", "width": 100, "height": 120}
        (source / "annotations" / f"person_keypoints_{split}.json").write_text(
            json.dumps(
                {
                    "images": [picture],
                    "categories": [{"id": 1, "name": "person"}],
                    "annotations": [
                        {
                            "id": image,
                            "image_id": image,
                            "category_id": 1,
                            "iscrowd": 0,
                            "bbox": [10, 10, 60, 90],
                            "area": 900,
                            "segmentation": [],
                            "keypoints": keypoints,
                            "num_keypoints": 17,
                        }
                    ],
                }
            )
        )
    code, _, err = run(capsys, monkeypatch, "train.py", *arguments, f"--out={tmp_path / 'run'}")
    assert code == 2 and "1.jpg" in one_line(err)


@pytest.mark.skipif(not os.path.exists("/proc/version"), reason="needs a file system that refuses writes")
def test_unwritable_output(people_dir, capsys, monkeypatch):
    code, _, err = run(capsys, monkeypatch, "train.py", f"--data_dir={people_dir}", "--out=/proc/kzoo/run")
    assert code == 2 and "could not write" in one_line(err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--run="),
        (("--run=/nowhere",), "no run folder at /nowhere"),
        (("--tta=rotate",), "tta"),
        (("--split=test",), "unknown split"),
    ],
)
def test_eval_mistakes(arguments, message, trained, capsys, monkeypatch):
    given = arguments if not arguments or "--run" in arguments[0] else (f"--run={trained}", *arguments)
    code, _, err = run(capsys, monkeypatch, "eval.py", *given)
    assert code == 2 and message in one_line(err)


def test_eval_tells_an_unwritable_place_before_the_work(trained, tmp_path, capsys, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr("kzoo.evaluation.scoring.score", None)
    code, _, err = run(capsys, monkeypatch, "eval.py", f"--run={trained}", f"--out={tmp_path}/file/out")
    assert code == 2 and "could not write to" in one_line(err)


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("part", ["scoring.score", "drawing.draw"])
def test_a_signal_ends_eval(number, expected, part, trained, tmp_path, capsys, monkeypatch):
    """Whatever the framework makes of it: a line, the right code, and nothing half-written."""

    def hears(*_, **__):
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt:
            raise RuntimeError("a callback failed") from None

    monkeypatch.setattr(f"kzoo.evaluation.{part}", hears)
    flags = (f"--run={trained}", "--pictures=2", "--split=val[:8]", f"--out={tmp_path}")
    code, _, err = run(capsys, monkeypatch, "eval.py", *flags)
    assert code == expected and "stopped; " in one_line(err)
    assert not list(tmp_path.rglob(".writing-*"))


def test_a_full_disk_while_drawing(trained, tmp_path, capsys, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("kzoo.evaluation.drawing.draw", full)
    code, _, err = run(capsys, monkeypatch, "eval.py", f"--run={trained}", "--split=val[:8]", f"--out={tmp_path}")
    assert code == 2 and one_line(err) == "eval.py: the disk is full"


def test_eval_refuses_a_broken_model(trained, tmp_path, capsys, monkeypatch):
    (tmp_path / "run.json").write_text((trained / "run.json").read_text())
    code, _, err = run(capsys, monkeypatch, "eval.py", f"--run={tmp_path}")
    assert code == 2 and "holds no model.keras" in one_line(err)
    (tmp_path / "model.keras").write_bytes((trained / "model.keras").read_bytes()[:1000])
    code, _, err = run(capsys, monkeypatch, "eval.py", f"--run={tmp_path}")
    assert code == 2 and "cannot load" in one_line(err)


def test_an_existing_run_is_not_overwritten(trained, people_dir, capsys, monkeypatch):
    code, _, err = run(capsys, monkeypatch, "train.py", f"--data_dir={people_dir}", f"--out={trained}")
    assert code == 2 and "already holds a run" in one_line(err)


def start(folder, people_dir, *extra, program=("train.py",)):
    command = [
        sys.executable,
        *program,
        f"--data_dir={people_dir}",
        f"--out={folder}",
        "--size=32",
        "--epochs=4",
        "--batch_size=8",
        "--set=widths=(8,8)",
        "--encoder=small",
        *extra,
    ]
    heeds_interrupts = functools.partial(
        signal.signal, signal.SIGINT, signal.SIG_DFL
    )  # also where the tests themselves run in the background
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=heeds_interrupts
    )


def wait_for_epochs(folder, count, process):
    while process.poll() is None:
        if (folder / "last.weights.h5").exists() and len(history(folder)) >= count:
            return
        time.sleep(0.02)


KILLED = """
import os, signal
from kzoo import cli
from kzoo.programs.train import __main__ as train
from kzoo.training import callbacks

def on_train_batch_end(keeper, batch, logs=None):
    if len(keeper.rows) == 2 and batch == 3:
        os.kill(os.getpid(), signal.SIGKILL)

callbacks.RunFolder.on_train_batch_end = on_train_batch_end
train.define_flags()
cli.run(train.main)
"""  # train.py whose machine fails in the middle of the third epoch


def test_killed_and_resumed_equals_uninterrupted(people_dir, tmp_path):
    """`kill -9` in the middle of a run, then --resume: the same history and the same weights, bit for bit on one
    CPU."""
    whole = start(tmp_path / "whole", people_dir)
    assert whole.wait() == 0, whole.stdout.read()
    killed = start(tmp_path / "killed", people_dir, program=("-c", KILLED))
    assert killed.wait() == -signal.SIGKILL, killed.stdout.read()
    assert len(history(tmp_path / "killed")) == 2
    resumed = start(tmp_path / "killed", people_dir, "--resume")
    assert resumed.wait() == 0, resumed.stdout.read()
    for a, b in zip(history(tmp_path / "whole"), history(tmp_path / "killed"), strict=True):
        for name in set(a) - {"images_per_second", "seconds"}:
            assert np.isclose(float(a[name]), float(b[name]), rtol=1e-5, atol=1e-7), (
                a["epoch"],
                name,
                a[name],
                b[name],
            )


def test_interrupt_leaves_a_usable_run(people_dir, tmp_path):
    folder = tmp_path / "run"
    process = start(folder, people_dir, "--epochs=500")
    wait_for_epochs(folder, 1, process)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=240)
    assert process.returncode == 130 and "train.py --resume --out=" in out and "Traceback" not in out, out
    assert not (folder / "report.json").exists() and (folder / "model.keras").exists()


def test_help_is_shown():
    shown = subprocess.run(
        [sys.executable, "train.py", "--helpshort"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert shown.returncode == 0 and "--arch: architecture of the task" in shown.stdout
