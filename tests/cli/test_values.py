"""Values of flags: numbers that nothing can be done with are refused in one place, ~ is put in in one place."""

import pathlib

import pytest
from absl import flags

from kzoo import UserError, cli, files
from kzoo.cli import values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("width=32", 32),
        ("rates=(1,2,3)", (1, 2, 3)),
        ("variant='hourglass'", "hourglass"),
        ("pool=flatten", "flatten"),
        ("p=1if", "1if"),
        ("skips=True", True),
    ],
)
def test_assignments(text, value):
    assert cli.assignments([text], "set") == {text.partition("=")[0]: value}


@pytest.mark.parametrize(
    "value",
    [
        "1" * 400,
        "1" * 5000,
        "1000000000",
        "-1000000001",
        "(64,1e999)",
        "[[1e999]]",
        "{'a': 10000000}",
        "+".join(["1"] * 10_000),
        "-" * 3000 + "1",
        "~nobody-of-this-name/runs",
    ],
)
def test_what_nothing_can_be_done_with_is_one_short_line(value):
    with pytest.raises(UserError) as raised:
        cli.assignments([f"width={value}"], "set")
    assert len(values.brief(str(raised.value))) < 400


@pytest.mark.parametrize(
    "text", ["²", "١٢٨", "1_0", "+64", "-64", "0", "64x", "64x64x64", "6" * 400, "8193", "nan", ""]
)
def test_sizes_that_are_none(text):
    with pytest.raises(UserError, match="--size="):
        cli.shape_of(text)


def test_sizes():
    assert cli.shape_of(64) == cli.shape_of("64") == cli.shape_of("64x64") == (64, 64)
    assert cli.shape_of("96X128") == (96, 128)


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e999"])
def test_no_flag_takes_what_is_not_finite(number):
    """Bounds do not hold nan back."""
    given = flags.FlagValues()
    flags.DEFINE_float("zoom", 1.0, "", lower_bound=0.0, flag_values=given)
    flags.DEFINE_multi_float("others", [], "", flag_values=given)
    for argument in (f"--zoom={number}", f"--others={number}"):
        with pytest.raises((UserError, flags.Error)):
            given(["test", argument])
            cli.check_finite(given)


def test_home_is_put_in(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    given = flags.FlagValues()
    cli.DEFINE_path("out", None, "", flag_values=given)
    cli.DEFINE_multi_path("images", [], "", flag_values=given)
    given(["test", "--out=~/runs/a", "--images=~/a.jpg", "--images=b~.jpg"])
    assert given.out == "/home/me/runs/a" and given.images == ["/home/me/a.jpg", "b~.jpg"]
    assert cli.assignments(["pose_run=~/runs/b", "mode='~'"], "set") == {
        "pose_run": "/home/me/runs/b",
        "mode": "/home/me",
    }


@pytest.mark.parametrize("path", ["~nobody-of-this-name", "~nobody-of-this-name/x", "a\0b"])
def test_what_is_no_path_is_one_line(path):
    given = flags.FlagValues()
    cli.DEFINE_path("out", None, "", flag_values=given)
    with pytest.raises(flags.IllegalFlagValueError):
        given(["test", f"--out={path}"])
    with pytest.raises(UserError):
        files.expanded(path)


NAMES_A_PATH = {"run", "out", "work", "data_dir", "data_source", "encoder_weights", "storage", "image", "images"}
NAMES_A_PATH |= {"video", "boxes"}


def test_every_flag_that_names_a_path_is_one():
    sources = [
        path for path in pathlib.Path(values.__file__).parents[1].rglob("*.py") if "define_flags" in path.read_text()
    ]
    assert len(sources) > 8
    for path in sources:
        for call in path.read_text().split("flags.DEFINE_")[1:]:
            name = call.partition('"')[2].partition('"')[0]
            assert name not in NAMES_A_PATH, f"{path.name}: --{name} is a path: cli.DEFINE_path"


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("segm", ["pose", "seg"], "; did you mean seg?"),
        ("UNet", ["fcn", "unet"], "; did you mean unet?"),
        ("zebra", ["pose", "seg"], ""),
    ],
)
def test_did_you_mean(name, known, hint):
    assert cli.meant(name, known) == hint
