"""The table of tasks is complete, recipes are merged by one rule, and no other file knows a task by its name."""

import ast
import dataclasses
import pathlib

import keras
import pytest
from zoo import tiny

from kzoo.nn import decoding
from kzoo.tasks import TASKS, base, pose

KZOO = pathlib.Path(base.__file__).parents[1]
CHEAP = {"pose": "heatmap", "seg": "fcn", "pose3d": "lift", "loc": "posenet", "cluster": "idec"}
LABELS = {"keypoints", "mask", "joints", "pose", "label", "image"}


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_every_part_of_a_task_is_there(task):
    assert task.archs and all(name == function.__name__ for name, function in task.archs.items())
    assert all(row.label in LABELS for row in task.outputs.values())
    assert all(row.trained_by in {"", *task.outputs} for row in task.outputs.values())
    assert all(set(row.follows.values()) <= set(task.outputs) for row in task.outputs.values())
    assert set(task.main) | set(task.evaluator.beside) | set(task.answers.explained) <= set(task.outputs)
    assert set(task.main) <= set(task.answers.explained), "what is scored can be explained"
    assert task.score[1] in ("min", "max") and task.learning in ("labels", "clusters")
    assert task.answers.limits and all(text.endswith(".") for text in task.answers.limits)
    assert task.answers.writer.columns[:1] in ((), ("file",))
    assert {name for _, name in task.recipes} <= {"", *task.archs}


def test_files_that_predict_writes_are_told_apart():
    assert len({task.answers.writer.file for task in TASKS.values()}) == len(TASKS)


@pytest.mark.parametrize("name", TASKS)
def test_meanings_cover_what_the_graph_answers(name):
    """And an explained output has as many components as letters."""
    task = TASKS[name]
    model = tiny(name, CHEAP[name])
    needed = {task.main_of(model.output_names), *task.evaluator.beside} & set(model.output_names)
    decoder = next(iter(decoding.applicable(model.output_names)), None)
    answers = task.answers.graph({output: model.output[output] for output in needed}, decoder)
    assert answers and set(answers) <= set(task.answers.meanings)
    for output, row in task.answers.explained.items():
        if row.components and output in model.output_names:
            assert model.output[output].shape[-1] == len(row.components)


def test_what_else_a_graph_answers_has_a_meaning_too():
    maps = keras.KerasTensor((None, 6, 5, 3))
    for outputs in ({"coords": keras.KerasTensor((None, 3, 2)), "latent_heatmaps": maps}, {"disc_logits": maps}):
        assert set(TASKS["pose"].answers.graph(outputs, "dark")) == set(TASKS["pose"].answers.meanings)
    camera = {"position": keras.KerasTensor((None, 3)), "rotation": keras.KerasTensor((None, 4)), "logits": maps}
    assert set(TASKS["loc"].answers.graph(camera, None)) == set(TASKS["loc"].answers.meanings)


def test_activations_inside_a_graph_are_of_outputs():
    assert set(pose.ACTIVATIONS) == {name for name in decoding.MAPS if name != "heatmaps"} <= set(pose.OUTPUTS)


def test_the_last_row_of_a_recipe_wins():
    rows = {
        ("", ""): {"lr": 1, "size": 1, "epochs": 1, "set": ["a=1"]},
        ("people", ""): {"lr": 2, "size": 2, "epochs": 2},
        ("", "unet"): {"lr": 3, "size": 3},
        ("people", "unet"): {"lr": 4},
        ("people", "fcn"): {"lr": 5},
        ("room", "unet"): {"lr": 6},
    }
    task = dataclasses.replace(TASKS["seg"], recipes=rows)
    assert task.recipe("people", "unet") == {"lr": 4, "size": 3, "epochs": 2, "set": ["a=1"]}
    assert task.recipe("people", "encdec") == {"lr": 2, "size": 2, "epochs": 2, "set": ["a=1"]}
    assert task.recipe("camvid", "encdec") == rows["", ""]
    assert rows["", ""]["lr"] == 1, "the table stays as it is"


# ---- no task by its name

MAY_NAME_TASKS = {"tasks", "lab"}  # folders; the course's report is about two tasks by definition


def compared_with_a_task(node) -> bool:
    """x == "seg", x in ("seg", "pose"), and the like."""
    if not isinstance(node, ast.Compare):
        return False
    constants = {part.value for part in ast.walk(node) if isinstance(part, ast.Constant)}
    return bool(constants & set(TASKS))


def keyed_by_tasks(node) -> bool:
    """{"seg": …, "pose": …}: a table of tasks beside the table of tasks."""
    return (
        isinstance(node, ast.Dict)
        and len({key.value for key in node.keys if isinstance(key, ast.Constant)} & set(TASKS)) > 1
    )


FILES = [path for path in sorted(KZOO.rglob("*.py")) if path.relative_to(KZOO).parts[0] not in MAY_NAME_TASKS]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(KZOO).as_posix())
def test_no_task_is_known_by_its_name(path):
    nodes = list(ast.walk(ast.parse(path.read_text())))
    assert not [node.lineno for node in nodes if compared_with_a_task(node)]
    assert not [node.lineno for node in nodes if keyed_by_tasks(node)]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ('flag["task"] == "seg"', True),
        ('"pose" != task', True),
        ('task in ("pose3d", "cluster")', True),
        ("task == other", False),
        ('flag["task"]', False),
    ],
)
def test_the_search_finds_names(code, expected):
    assert compared_with_a_task(ast.parse(code, mode="eval").body) is expected


def test_tasks_stand_below_what_uses_them():
    above = {"runs", "inference", "training", "evaluation", "export", "predict", "explain", "sweep", "lab", "programs"}
    for path in (KZOO / "tasks").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                parts = node.module.split(".")
                names = {*parts[1:2]} if len(parts) > 1 else {alias.name for alias in node.names}
                assert not names & above, f"{path.name} imports {node.module}"
