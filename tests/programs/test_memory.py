"""Training streams its data: ten times the clips do not need ten times the memory. A minute long: pytest -m slow"""

import os
import subprocess
import sys

import numpy as np
import pytest
from running import ROOT

from kzoo.data import builders
from kzoo.datasets.people import clips, people_dataset_builder


def noise(split, size, *_):
    """Clips of the right form that compress badly: 0.2 MB each."""
    rng = np.random.default_rng(0)
    example = clips.render(split, 0)
    for index in range(size):
        yield {**example, "frames": rng.integers(0, 256, example["frames"].shape, "uint8"), "clip_id": index}


def peak_bytes(command) -> int:
    """Largest resident size of a program that must succeed."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@pytest.mark.slow
def test_peak_memory_does_not_grow_with_the_data_set(tmp_path, monkeypatch):
    monkeypatch.setattr(people_dataset_builder, "rendered", noise)
    peaks = {}
    for count, epochs in ((160, 10), (1600, 1)):  # as many steps
        monkeypatch.setattr(builders.builder_class("people"), "CLIPS", {"train": count, "val": 16})
        folder = tmp_path / str(count)
        builders.prepare("people/clips", str(folder))
        flags = [
            "--task=pose3d",
            "--arch=conv_lstm",
            "--size=64",
            f"--epochs={epochs}",
            f"--data_dir={folder}",
            f"--out={folder / 'run'}",
        ]
        peaks[count] = peak_bytes([sys.executable, "train.py", *flags])
    print({count: f"{peak / 2**20:.0f} MiB" for count, peak in peaks.items()})
    assert peaks[1600] < 1.1 * peaks[160]
