"""kzoo.sweep with a train.py that only pretends: lists and ranges, several processes, kills, crashes, pruning, the
table."""

import collections
import json
import os
import signal
import statistics
import subprocess
import sys
import time

import pytest
import stand_in
from absl import flags

pytest.importorskip("optuna")

from kzoo import UserError
from kzoo.runs import Run
from kzoo.sweep import parameters, run_scores, studies, study_table, study_trials
from kzoo.sweep.sweep import sweep

DRIVER = """
import sys
from kzoo.sweep import __main__ as program, parameters, study_trials
study_trials.TRAIN, study_trials.PAUSE = (sys.executable, "-m", "stand_in"), 0.05
parameters.aim = lambda *_: ("miou", "max")
program.start()
"""


@pytest.fixture
def fake(monkeypatch):
    """A train.py that only pretends is in use."""
    stand_in.use(monkeypatch, pause=0.05)
    monkeypatch.setattr(parameters, "aim", lambda *_: ("miou", "max"))


def started(out, *arguments):
    """A sweep in a process of its own."""
    command = [sys.executable, "-c", DRIVER, "--study=s", f"--out={out}", *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def epochs_of(out) -> list[str]:
    return stand_in.diary(out / "s", "epochs")


def starts_of(out) -> list[str]:
    return stand_in.diary(out / "s", "starts")


def wait_for(condition, seconds=20):
    end = time.time() + seconds
    while not condition():
        assert time.time() < end, "waited in vain"
        time.sleep(0.02)


def without_folders(result):
    return {**result, "trials": [{k: v for k, v in row.items() if k != "folder"} for row in result["trials"]]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fcn", ["fcn"]),
        ("fcn,unet", ["fcn", "unet"]),
        ("(32,16),(64,32)", ["(32,16)", "(64,32)"]),
        ("[1,(2,3)],{'a': 1, 'b': 2}", ["[1,(2,3)]", "{'a': 1, 'b': 2}"]),
        ("a,,b", ["a", "", "b"]),
    ],
)
def test_split_outside_brackets(text, expected):
    assert parameters.split(text) == expected


@pytest.mark.parametrize(
    ("arguments", "varied", "fixed"),
    [
        (["--arch=a,b", "--epochs=3"], [("arch", ("a", "b"))], ["--epochs=3"]),
        (["--set=width=32,64", "--set=deep=1"], [("set.width", ("32", "64"))], ["--set=deep=1"]),
        (["--set=widths=(32,16),(64,32)"], [("set.widths", ("(32,16)", "(64,32)"))], []),
        (["--set=widths=(32,16)"], [], ["--set=widths=(32,16)"]),
        (["--lr=log:1e-5:1e-2"], [("lr", ("log", 1e-5, 1e-2))], []),
        (["--epochs=int:2:8"], [("epochs", ("int", 2, 8))], []),
        (["--set=t=uniform:0:0.5"], [("set.t", ("uniform", 0.0, 0.5))], []),
        (["--border=10,5"], [], ["--border=10,5"]),
        (["--border=(10,5),(5,3)"], [("border", ("10,5", "5,3"))], []),
        (["--cache", "--norm=batch,none"], [("norm", ("batch", "none"))], ["--cache"]),
        (["--nocache"], [], ["--nocache"]),
        (["--cache=true,false"], [("cache", ("true", "false"))], []),
    ],
)
def test_what_varies(fake, arguments, varied, fixed):
    found, passed = parameters.parse(arguments, parameters.train_flags())
    assert [(p.name, p.choices or (p.kind, p.low, p.high)) for p in found] == varied and passed == fixed


def test_own_flags_and_those_of_train(fake):
    own, others = parameters.separate(
        ["--study", "s", "--arch", "a,b", "-seed=1", "--noshow", "--cache"], {"study", "show"}
    )
    assert own == ["--study=s", "--noshow"] and others == ["--arch=a,b", "--seed=1", "--cache"]


def test_the_real_flags():
    values = parameters.train_flags()
    assert values["batch_size"].flag_type() == "int" and values["task"].default == "seg" and values["resume"].boolean
    with pytest.raises(flags.Error):
        values(["train.py", "--epochs=0"])


def test_flags_whose_definition_is_no_literal(tmp_path, monkeypatch):
    """Help, choices and bounds that the program computes: what is not known from its source is left to it."""
    (tmp_path / "computed.py").write_text(
        """
def define_flags():
    flags.DEFINE_string("dataset", None, f"{', '.join(NAMES)}, or another")
    flags.DEFINE_enum("norm", None, list(NORMS), "choices")
    flags.DEFINE_enum("jit", "auto", ["auto", "on"], HELP)
    flags.DEFINE_integer("epochs", EPOCHS, "passes", lower_bound=1, upper_bound=MOST)
"""
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(study_trials, "TRAIN", (sys.executable, "-m", "computed"))
    values = parameters.train_flags()
    values(["computed.py", "--dataset=people", "--norm=anything", "--epochs=3"])
    assert values["norm"].value == "anything" and values["jit"].value == "auto" and values["epochs"].value == 3
    for wrong in ("--jit=off", "--epochs=0"):
        with pytest.raises(flags.Error):
            values(["computed.py", wrong])


MISTAKES = [
    (
        ["--seed=0,1"],
        {"pruner": "median", "metric": "AP", "direction": "max"},
        "--pruner=median needs the task's own score.*--metric=AP",
    ),
    (["--arhc=a,b"], {}, "unknown flag --arhc.*did you mean --arch"),
    (["--noarch"], {}, "unknown flag --noarch"),
    (["--arch"], {}, "--arch needs a value"),
    (["a,b"], {}, "unexpected argument 'a,b'"),
    (["--norm=batch,layer"], {}, "--norm=batch,layer: .*layer.*one of <batch|none>"),
    (["--epochs=int:0:4"], {"sampler": "tpe", "trials": 2}, "--epochs=int:0:4: .*0.*"),
    (["--epochs=uniform:1:4"], {"sampler": "tpe", "trials": 2}, "--epochs=uniform:1:4: .*1.0"),
    (["--resume", "--arch=a,b"], {}, "--resume is not for sweeps"),
    (["--arch=a,b", "--arch=c"], {}, "--arch=c: given twice"),
    (["--arch=a,a"], {}, "each choice must be given once"),
    (["--arch=a,,b"], {}, "none may be empty"),
    (["--set=widths=(32,16"], {}, r"the brackets of '\(32,16' do not match"),
    (["--set=widths=(32]"], {}, "do not match"),
    (["--set=32,64"], {}, "must read --set=<name>=<value>"),
    (["--lr=log:0:1"], {}, "low end above 0 and below its high end"),
    (["--lr=uniform:1:1"], {}, "low end below its high end"),
    (["--epochs=int:1:2.5"], {}, "must read int:<low>:<high>, with numbers without a point"),
    (["--arch=a"], {}, "nothing varies"),
    (["--lr=log:1e-3:1"], {}, "--lr is a range, which a grid does not take"),
    (["--lr=log:1e-3:1"], {"sampler": "random"}, "--sampler=random needs --trials"),
    (["--arch=a,b"], {"trials": 3}, "--trials=3 is for --sampler=random"),
    (["--arch=a,b", "--seed=" + ",".join(map(str, range(1001)))], {}, "2002 points"),
    (["--arch=a,b"], {"study": "../x"}, "must consist of letters"),
    (["--arch=a,b"], {"storage": "nothing://x"}, "cannot open --storage=nothing://x"),
]


@pytest.mark.parametrize(("arguments", "options", "match"), MISTAKES, ids=[" ".join(row[0])[:30] for row in MISTAKES])
def test_mistakes(fake, tmp_path, arguments, options, match):
    with pytest.raises(UserError, match=match) as caught:
        sweep(**{"study": "s", "arguments": arguments, "out": tmp_path / "out", **options})
    assert "\n" not in str(caught.value) and not starts_of(tmp_path / "out")


def test_a_mistake_is_one_line_and_code_2(fake, tmp_path):
    process = started(tmp_path / "out", "--arhc=a,b")
    out, err = process.communicate()
    assert process.returncode == 2 and len(err.strip().splitlines()) == 1 and "did you mean --arch" in err


def test_task_and_arch_are_checked_before_anything_runs():
    values, aim = parameters.train_flags(), parameters.aim
    assert aim(values, [parameters.Parameter("arch", choices=("fcn", "unet"))], [], None, None) == ("miou", "max")
    assert aim(values, [], ["--task=pose", "--arch=heatmap"], "pck@0.1", "max") == ("pck@0.1", "max")
    for varied, fixed, metric, match in [
        ([parameters.Parameter("arch", choices=("fcn", "unett"))], [], None, "unknown --arch='unett'"),
        ([], ["--task=sec"], None, "unknown --task='sec'"),
        ([parameters.Parameter("task", choices=("seg", "pose"))], [], None, "a study has one task"),
        ([], [], "pixel_accuracy", "needs --direction"),
    ]:
        with pytest.raises(UserError, match=match):
            aim(values, varied, fixed, metric, None)


def test_a_grid_by_two_processes_is_run_once(fake, tmp_path):
    out = tmp_path / "out"
    arguments = ["--arch=a,b,c", "--seed=0,1", "--warmup=0.1", "--set=widths=(3,2),(6,4)"]
    both = [started(out, *arguments) for _ in range(2)]
    errors = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    assert len(epochs_of(out)) == 24 and set(collections.Counter(epochs_of(out)).values()) == {1}, (
        "each epoch of each trial once"
    )
    assert len(starts_of(out)) == 12
    result = json.loads((out / "s" / "sweep.json").read_text())
    assert (
        len(result["trials"]) == 12 == len({(row["arch"], row["seed"], row["set.widths"]) for row in result["trials"]})
    )
    assert {row["state"] for row in result["trials"]} == {"complete"}
    for row in result["trials"]:
        assert (
            row["miou"] == pytest.approx("abc".index(row["arch"]) / 10 + 0.1 + 0.01 * int(row["seed"]) + 0.002)
            and row["minutes"] == 2
        )
        assert Run.open(row["folder"]).flags["set"] == ["widths=" + row["set.widths"]]
    seeds = next(row for row in result["over_seeds"] if row["arch"] == "c" and row["set.widths"] == "(6,4)")
    assert (
        seeds["miou"] == pytest.approx(0.307)
        and seeds["sd"] == pytest.approx(statistics.stdev([0.302, 0.312]))
        and seeds["seeds"] == 2
    )
    assert result["trials"][result["best"]]["arch"] == "c" and "0.307 ± 0.0071" in (out / "s" / "sweep.md").read_text()
    assert len((out / "s" / "sweep.csv").read_text().splitlines()) == 13


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_stopped_twice_and_resumed_to_the_same_table(fake, tmp_path, number):
    out, arguments = tmp_path / "out", ["--arch=a,b,c", "--epochs=8", "--warmup=0.15"]
    for epochs in (2, 10):  # within the first trial, within the second
        process = started(out, *arguments)
        wait_for(lambda epochs=epochs: len(epochs_of(out)) >= epochs)
        process.send_signal(number)
        process.communicate(timeout=30)
        assert process.returncode == (130 if number == signal.SIGINT else -number)
    process = started(out, *arguments)
    assert process.communicate(timeout=60) and process.returncode == 0
    again = json.loads((out / "s" / "sweep.json").read_text())
    plain = sweep("s", [*arguments[:2], "--warmup=0"], out=tmp_path / "plain")
    assert without_folders(again) == without_folders(plain) and {row["state"] for row in again["trials"]} == {
        "complete"
    }
    assert max(collections.Counter(epochs_of(out)).values()) == 1, (
        "no epoch was trained twice, by no process that was left behind"
    )
    assert len(starts_of(out)) == 5


def test_crashes_and_out_of_memory_are_recorded(fake, tmp_path):
    result = sweep("s", ["--arch=crash,oom,cut,b"], out=tmp_path)
    assert [row["state"] for row in result["trials"]] == ["fail", "fail", "fail", "complete"] and result["best"] == 3
    assert [row["error"] for row in result["trials"]] == [
        "the loss | became nan",
        "killed, probably out of memory",
        "interrupted after epoch 1 of 2",
        None,
    ]
    assert "the loss \\| became nan" in study_table.markdown(result)
    assert without_folders(sweep("s", ["--arch=crash,oom,cut,b"], out=tmp_path)) == without_folders(result), (
        "finished trials stay"
    )


def test_hyperband(fake, tmp_path):
    result = sweep("s", ["--lr=0.9,0.8,0.1"], out=tmp_path, pruner="hyperband")
    assert result["best"] == 0 and {row["state"] for row in result["trials"]} <= {"complete", "pruned"}


def test_pruning(fake, tmp_path):
    arguments = ["--lr=0.9,0.8,0.7,0.6,0.5,0.01", "--epochs=5", "--warmup=0.03"]
    result = sweep("s", arguments, out=tmp_path, pruner="median")
    assert [row["state"] for row in result["trials"]] == ["complete"] * 5 + ["pruned"]
    row = result["trials"][5]
    pruned = Run.open(row["folder"])
    assert pruned.report is None, "train.py does not score after a signal"
    assert 0 < len(pruned.history) < 5 and row["error"] is None
    assert row["miou"] == pytest.approx(pruned.history[-1]["val_miou"]), "the last score that it told"


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_samplers(fake, tmp_path, sampler):
    arguments, options = ["--lr=log:1e-1:1", "--epochs=int:1:3", "--arch=a,b"], {"sampler": sampler, "sampler_seed": 3}
    first = sweep("s", arguments, out=tmp_path / "1", trials=2, **options)
    more = sweep("s", arguments, out=tmp_path / "1", trials=3, **options)
    assert [len(first["trials"]), len(more["trials"])] == [2, 3] and more["trials"][:2] == first["trials"]
    assert len({row["lr"] for row in more["trials"]}) == 3
    for row in more["trials"]:
        assert (
            0.1 <= row["lr"] <= 1
            and row["epochs"] in (1, 2, 3)
            and row["miou"] == pytest.approx(row["lr"] + 0.001 * row["epochs"])
        )
    again = sweep("s", arguments, out=tmp_path / "2", trials=3, **options)
    assert without_folders(again) == without_folders(more), "the same seed, the same points"


def test_scores_of_the_report(fake, tmp_path):
    result = sweep("s", ["--arch=report,c"], out=tmp_path / "1", metric="miou", direction="max")
    assert [row["miou"] for row in result["trials"]] == pytest.approx([1.8, 0.3])
    run = Run.open(result["trials"][0]["folder"])
    for name, of_report, expected in [
        ("acc", False, 0.5),
        ("acc", True, 0.5),
        ("nmi", True, "no score 'nmi'; it has"),
        ("odd", True, "odd is None"),
    ]:
        if isinstance(expected, str):
            with pytest.raises(UserError, match=expected):
                run_scores.score(run, name, "max", of_report=of_report)
        else:
            assert run_scores.score(run, name, "max", of_report=of_report) == expected


def test_other_settings_folders_and_storages(fake, tmp_path):
    url = f"sqlite:///{tmp_path}/studies.db"
    result = sweep("s", ["--arch=a,b", "--data_dir=x"], out=tmp_path / "1", storage=url)
    assert [row["state"] for row in result["trials"]] == ["complete"] * 2
    for arguments, options, match in [
        (["--arch=a,b", "--epochs=3"], {}, "made with nothing more, now asked for --epochs=3; give another --study"),
        (["--arch=a,c"], {}, "made with --arch=a,b, now asked for --arch=a,c"),
        (
            ["--arch=a,b"],
            {"sampler": "random", "trials": 2},
            "made with --sampler=grid, now asked for --sampler=random",
        ),
        (["--arch=a,b"], {"out": tmp_path / "2"}, "has its trials in another folder"),
        (["--arch=a,b"], {"storage": None}, "holds trials, but .*journal.log no study 's'"),
    ]:
        with pytest.raises(UserError, match=match):
            sweep("s", arguments, **{"out": tmp_path / "1", "storage": url, **options})
    assert sweep("s", ["--arch=a,b", "--data_dir=y"], out=tmp_path / "1", storage=url) == result, (
        "data may lie elsewhere elsewhere"
    )
    assert len(epochs_of(tmp_path / "1")) == 4 and len(starts_of(tmp_path / "1")) == 2


def test_show(fake, tmp_path):
    sweep("s", ["--arch=a,b"], out=tmp_path)
    (tmp_path / "s" / "sweep.md").unlink()
    out, _ = (process := started(tmp_path, "--show")).communicate(timeout=30)
    assert (
        process.returncode == 0 and "| 1 | b | complete | 0.202 | 2 |" in out and (tmp_path / "s" / "sweep.md").exists()
    )
    for place in (studies.Place.of("t", tmp_path, None), studies.Place.of("s", tmp_path / "none", None)):
        with pytest.raises(UserError, match="no study"):
            studies.load(place)
    assert not (tmp_path / "none").exists()


def test_who_is_alive(tmp_path, monkeypatch):
    folder, me = tmp_path / "trial", study_trials.me()
    folder.mkdir()
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    alive = {"host": me["host"], "pid": other.pid, "birth": study_trials.birth(other.pid)}
    elsewhere = {**alive, "host": "another"}
    assert study_trials.is_alive(alive, folder) and not study_trials.is_alive({**alive, "birth": "1"}, folder)
    assert not study_trials.is_alive(me, folder) and not study_trials.is_alive(None, folder)
    assert not study_trials.is_alive(elsewhere, folder), "no sign of life"
    (folder / "heartbeat").touch()
    assert study_trials.is_alive(elsewhere, folder)
    os.utime(folder / "heartbeat", (time.time() - 200,) * 2)
    assert not study_trials.is_alive(elsewhere, folder)
    (folder / "errors.log").touch()
    assert study_trials.is_alive(elsewhere, folder), "its sweep was killed, its train.py goes on"
    study_trials.end_orphan({**elsewhere, "train": [other.pid, alive["birth"]]})
    assert other.poll() is None, "a process id of another machine"
    study_trials.end_orphan({**alive, "train": [other.pid, alive["birth"]]})
    assert other.wait(5) == -signal.SIGKILL and not study_trials.is_alive(alive, folder)
    study_trials.end_orphan({**alive, "train": [other.pid, None]})  # it had ended before it was noted


@pytest.mark.parametrize("given", ["--lr=nan,1", "--zoom=1,inf", "--batch_size=1,100000000"])
def test_choices_that_train_py_refuses(given):
    with pytest.raises(UserError, match=given.partition("=")[0]):
        parameters.parse([given], parameters.train_flags())


@pytest.mark.parametrize(
    ("flags", "left_out"),
    [
        ({"epochs": 2, "rounds": None}, 1),
        ({"epochs": 2}, 1),  # of a run that is older than the flag
        ({"epochs": 1}, None),
        ({"epochs": 2, "rounds": 100}, None),  # clustering stops by itself
        ({"epochs": 2, "rounds": 0}, None),
    ],
)
def test_what_a_run_left_out(tmp_path, flags, left_out):
    """The epoch at which it stopped before its last one."""
    dataset = {"name": "people/1.0.0"}
    (tmp_path / "run.json").write_text(json.dumps({"flags": flags, "names": [], "parameters": 1, "dataset": dataset}))
    (tmp_path / "history.csv").write_text("epoch,val_miou,seconds\n1,0.5,1\n")
    assert run_scores.stopped_at(Run.open(tmp_path)) == left_out


@pytest.mark.slow
def test_the_real_train(people_dir, tmp_path):
    quick = [
        f"--data_dir={people_dir}",
        "--size=32",
        "--epochs=1",
        "--batch_size=16",
        "--encoder=small",
        "--encoder_weights=none",
    ]
    result = sweep("s", ["--task=seg", "--arch=fcn,unet", *quick], out=tmp_path)
    assert [row["state"] for row in result["trials"]] == ["complete"] * 2, result
    for row in result["trials"]:
        report = Run.open(row["folder"]).report
        assert row["miou"] == pytest.approx(report["scores"]["miou"], abs=1e-4)
