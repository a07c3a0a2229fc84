"""kzoo.list: the tables say what the code has, start without a framework, and fit the screen."""

import json
import subprocess
import sys

import pytest

from kzoo.programs import list as listing


def run(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "kzoo.list", *arguments], check=False, capture_output=True, text=True)


def test_tables_are_the_codes_own():
    from kzoo.datasets import registry
    from kzoo.nn import encoders
    from kzoo.tasks import TASKS

    assert [(row["task"], row["arch"]) for row in listing.archs()] == [
        (task, arch) for task, row in TASKS.items() for arch in row.archs
    ]
    assert [(row["task"], row["archs"]) for row in listing.tasks()] == [
        (task, len(row.archs)) for task, row in TASKS.items()
    ]
    for row in listing.tasks():
        assert (
            row["epoch kept"] == "the last"
            if TASKS[row["task"]].learning == "clusters"
            else row["epoch kept"].endswith(TASKS[row["task"]].score[0])
        )
    assert {row["encoder"]: "imagenet" in row["encoder_weights"] for row in listing.encoders()} == {
        name: bool(row.imagenet) for name, row in encoders.ENCODERS.items()
    }
    rows = listing.datasets()
    assert {row["dataset"].partition("/")[0] for row in rows} == set(registry.NAMES)
    assert {row["dataset"] for row in rows} == {key for task in TASKS.values() for key, _ in task.recipes if key}
    sourced = {"coco_subset", "camvid", "human36m", "seven_scenes", "deeploc", "usps"}
    assert {row["dataset"].partition("/")[0] for row in rows if row["data_source"]} == sourced
    assert {row["dataset"]: row["tasks"] for row in rows}["people"] == "pose, seg"
    assert all(value for row in listing.archs() for value in row.values())


def test_no_framework_is_started():
    frameworks = {"tensorflow", "tensorflow_datasets", "keras"}
    tables = "import sys, kzoo.list as l; [t() for t in l.TABLES.values()]"
    code = f"{tables}; sys.exit(' '.join({frameworks} & set(sys.modules)) or 0)"
    found = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


def test_text_is_aligned_and_fits():
    lines = run().stdout.splitlines()
    assert all(len(line) <= listing.WIDTH for line in lines)
    header = next(line for line in lines if line.startswith("task") and line.endswith("what"))
    start, first = header.index("what"), lines.index(header) + 1
    table = lines[first : lines.index("", first)]
    assert len(table) > sum(row["archs"] for row in listing.tasks()), "some lines are wrapped"
    assert all(line[start - 2 : start] == "  " and line[start] != " " for line in table)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([{"a": 1, "what": "x"}, {"a": 333, "what": ""}], "a    what\n1    x\n333\n"),
        ([{"what": "word " * 30}], "what\n" + " ".join(["word"] * 24) + "\n" + " ".join(["word"] * 6) + "\n"),
    ],
)
def test_text_table(rows, expected):
    assert listing.text_table(rows) == expected


def test_formats():
    found = json.loads(run("archs", "--task=loc", "--format=json").stdout)
    assert list(found) == ["archs"] and [row["arch"] for row in found["archs"]] == [
        "posenet",
        "mapnet",
        "dual_input",
        "multitask",
    ]
    lines = run("tasks", "encoders", "--format=markdown").stdout.splitlines()
    assert (
        lines[0] == "## tasks"
        and "## encoders" in lines
        and lines[2] == "| task | archs | default | epoch kept | built-in data |"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("models",), "no table 'models'; allowed: tasks, archs"),
        (("--task=sag",), "unknown --task='sag'; allowed: pose"),
    ],
)
def test_mistakes_are_one_line(arguments, message):
    found = run(*arguments)
    assert found.returncode == 2 and len(found.stderr.splitlines()) == 1 and message in found.stderr
    assert found.stderr.startswith("list: ")


CODER = [
    64,
    500,
    500,
    2000,
    10,
    2000,
    500,
    500,
    64,
]  # of dec, dense; then ten centres of ten numbers, and the pictures' scale


@pytest.mark.parametrize(
    ("task", "arch", "count", "within"),
    [
        ("pose", "heatmap", 0.94e6, 5e3),  # as the README has it
        ("cluster", "dec", sum((a + 1) * b for a, b in zip(CODER[:-1], CODER[1:], strict=True)) + 10 * 10 + 1, 0),
    ],
)
def test_parameters(task, arch, count, within):
    assert listing.parameters_of(task, arch) == pytest.approx(count, abs=within)


def test_parameters_of_clips():
    assert listing.parameters_of("pose3d", "lift") > 2 * 512 * 512
