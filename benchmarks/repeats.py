"""What benchmarks of several runs share: train.py in a process of its own, once for each run; mean and spread."""

import pathlib
import shlex
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]


def check_settings(out: pathlib.Path, settings: dict):
    """Runs of different settings must not meet in one table."""
    from kzoo import UserError, files

    path = out / "settings.json"
    if not path.exists():
        files.write_json(path, settings)
        return
    stored = files.read_json(path)
    if stored != settings:
        raise UserError(f"{out} holds runs with {stored}, now asked for {settings}; give another --out")


def train(folder: pathlib.Path, flags: list[str], data_dir: str | None):
    """One run, unless it is finished; one that was stopped goes on."""
    from kzoo import UserError

    if (folder / "report.json").exists():
        return
    command = [
        sys.executable,
        str(ROOT / "train.py"),
        f"--out={folder}",
        *([f"--data_dir={data_dir}"] if data_dir else []),
    ]
    command += ["--resume"] if (folder / "run.json").exists() else flags
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"{shlex.join(command)} ended with code {done.returncode}: {last}")


def cell(scores: list[float]) -> str:
    """Mean ± standard deviation (n - 1); the mean alone of one run."""
    spread = f" ± {statistics.stdev(scores):.3f}" if len(scores) > 1 else ""
    return f"{statistics.mean(scores):.3f}{spread}"
