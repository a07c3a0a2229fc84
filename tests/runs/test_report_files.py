"""Report files: names of conditions, and what a file must hold."""

import pytest

from kzoo.runs import report_files

FLAGS = {"size": "64", "val_split": "val"}
OWN = {"split": "val", "crop": "64", "tta": "none", "fingerprint": "abc"}
NAMES = [  # what differs from the training's own conditions, the name
    ({}, "val"),
    ({"crop": 64}, "val"),
    ({"crop": "64x64"}, "val"),
    ({"crop": "192x256"}, "val-192x256"),
    ({"crop": "96x96"}, "val-96"),
    ({"split": "test", "crop": "192x256"}, "test-192x256"),
    ({"tta": "flip"}, "val-flip"),
    ({"tta": "flip", "decoder": "argmax"}, "val-flip-argmax"),
    ({"decoder": "dark"}, "val"),
    ({"decoder": "dark", "decoders": {"dark": {}}}, "val-all_decoders"),
    ({"tile": "96x96", "overlap": 48}, "val-tile96-overlap48"),
    ({"fingerprint": "0123456789ab"}, "val-data_01234567"),
    ({"split": "val[:100]"}, "val_to_100"),
    ({"split": "val[10%:20%]"}, "val_10pct_to_20pct"),
    ({"split": "val[9:]"}, "val_from_9"),
    ({"split": "train+val"}, "train_and_val"),
    ({"split": "../../x"}, "x"),
    ({"split": "ü|\n<b>"}, "b"),
    ({"split": "/"}, "split"),
]


@pytest.mark.parametrize(("changes", "name"), NAMES)
def test_names_are_readable_and_safe(changes, name):
    found = report_files.name_of({**OWN, **changes}, FLAGS, fingerprint="abc", decoder="dark")
    assert found == name


def test_different_conditions_never_share_a_name():
    own, other = {**OWN, "split": "va l"}, {**OWN, "split": "va_l"}
    names = [report_files.name_of(one, FLAGS) for one in (own, other)]
    assert names[0] == names[1]
    assert report_files.unique(names[1], other, {names[0]: own}) != names[0]
    assert report_files.unique(names[0], own, {names[0]: own}) == names[0], "the same condition is refreshed"
    assert report_files.unique("VAL", {**OWN, "split": "VAL"}, {"val": OWN}).lower() != "val", "one file on some disks"


def test_a_report_of_an_older_version_has_a_name():
    assert report_files.condition_of({**OWN, "decoder": "dark"}, FLAGS) == "val"
    assert report_files.condition_of({**OWN, "tta": "flip"}, FLAGS) == "val-flip"
    assert report_files.condition_of({**OWN, "condition": "x"}, FLAGS) == "x"
