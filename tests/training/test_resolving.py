"""Flags of a run: recipes, what is missing is told at once, and the line that is printed gives the same flags again."""

import shlex

import pytest
from absl import flags
from running import run

from kzoo import UserError
from kzoo.programs.train import __main__ as train
from kzoo.programs.train import settling
from kzoo.training import catalogue, resolving


def resolved(*arguments) -> dict:
    values = parsed(*arguments)
    return resolving.resolve(values)


def parsed(*arguments) -> dict:
    before = set(flags.FLAGS)
    try:
        train.define_flags()
        flags.FLAGS(["train.py", *arguments])
        return {name: flags.FLAGS[name].value for name in set(flags.FLAGS) - before}
    finally:
        for name in set(flags.FLAGS) - before:
            delattr(flags.FLAGS, name)
        flags.FLAGS.unparse_flags()


@pytest.mark.parametrize("task", catalogue.tasks())
def test_a_task_alone_gets_its_default(task):
    flag = resolved(f"--task={task}")
    assert flag["arch"] == catalogue.tasks()[task].default
    assert flag["dataset"] == catalogue.tasks()[task].dataset_for(flag["arch"])


@pytest.mark.parametrize(
    "given",
    [
        ["--task=pose"],
        ["--task=seg", "--augment=0", "--border=10,5", "--cache", "--out=a b/c'd"],
        ["--task=pose3d", "--flip=0.0", "--set=pool=flatten"],
        ["--task=cluster", "--arch=dec", "--loss_weights=assignment=2"],
        ["--schedule=step", "--milestones=2,3", "--set=widths=(8, 8, 8)"],
    ],
)
def test_the_printed_line_can_be_pasted(given, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, monkeypatch, "train.py", *given, "--show")
    assert code == 0 and not err and not list(tmp_path.iterdir())
    words = shlex.split(out)
    start = next(i for i, word in enumerate(words) if word.startswith("--"))
    again = resolved(*words[start:])
    assert {**again, "size": str(again["size"])} == {**resolved(*given), "size": str(again["size"])}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--dataset=peple"], "unknown dataset 'peple'.*did you mean people"),
        (["--dataset=people/clip"], "unknown configuration.*did you mean people/clips"),
        (["--dataset=mnist"], "give --size, --epochs, --batch_size and --lr"),
        (["--dataset=mnist", "--size=32", "--epochs=1", "--lr=1"], "give --batch_size$"),
        (["--task=pose", "--arch=unet"], "--arch=unet is of --task=seg"),
        (["--arch=unt"], "did you mean unet"),
        (["--encoder=resnet5"], "did you mean resnet50"),
        (["--optimizer=adamw"], "did you mean adam"),
        (["--schedule=cosin"], "did you mean cosine"),
        (["--loss=dise"], "did you mean dice"),
        (["--set=widht=3"], "no hyperparameter 'widht'.*did you mean widths"),
        (["--task=pose", "--arch=heatmap", "--dropout=0.1"], "no hyperparameter 'dropout'"),
        (["--task=pose", "--size=64x96"], "square"),
        (["--size=100"], "multiple of 32"),
        (["--schedule=step"], "needs --milestones"),
        (["--schedule=step", "--milestones=²"], "whole epochs"),
        (["--border=nan,1"], "--border"),
        (["--border=1,inf"], "--border"),
        (["--train_split=tra:n"], "must be a split"),
        (["--loss_weights=logits=abc"], "must be a number of 0 or more"),
        (["--loss_weights=logits=[1]"], "must be a number of 0 or more"),
        (["--task=cluster", "--augment=1"], "--augment is not for --task=cluster"),
    ],
)
def test_mistakes(given, message):
    with pytest.raises(UserError, match=message):
        resolved(*given)


def test_posenet_keeps_its_own_encoder():
    assert resolved("--task=loc", "--encoder=googlenet", "--size=100")["encoder"] == "googlenet"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--data_dir={}/a/b"], "there is no folder"),
        (["--encoder_weights={}/no.weights.h5"], "no encoder weights"),
        (["--encoder=small", "--encoder_weights=imagenet"], "no ImageNet weights for small"),
        (["--dataset=camvid", "--data_dir={}"], "camvid is not prepared in"),
        (["--dataset=camvid", "--data_source={}/nothing"], "no data at --data_source"),
        (["--data_source={}"], "people is generated: it takes no --data_source"),
        (["--resume", "--out={}/a"], "--resume needs --out"),
    ],
)
def test_paths(given, message, tmp_path):
    values = parsed(*(argument.format(tmp_path) for argument in given))
    with pytest.raises(UserError, match=message):
        settling.settled(values)
    assert not list(tmp_path.iterdir())
