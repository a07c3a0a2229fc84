"""Which upsampling, and do skip connections help? Every mode of `kzoo.nn.upsampling` with and without them, on one
encoder, over seeds.

    python benchmarks/upsampling.py
    python benchmarks/upsampling.py --modes=transposed,max_unpool --seeds=0,1 --train_flag=--lr=1e-3

`encdec` and `unet` differ by the concatenations alone, the modes by what doubles height and width
(`kzoo/nn/upsampling.py` says what each weighs). Each run is train.py in a process of its own, one after the other;
called again, it repeats no finished run and continues one that was stopped. Prints the mean ± standard deviation (n -
1) of mIoU over the seeds, scored by train.py on --val_split, and writes the runs' scores as .json, from which `python
benchmarks/results.py` makes docs/results.md, and a picture as .png.
"""

import pathlib
import statistics
import sys

import contenders
import repeats
import results
from absl import flags
from tqdm import tqdm

ROOT = pathlib.Path(__file__).resolve().parents[1]
ARCHS = {"encdec": "without skips", "unet": "with skips"}
FLAGS = flags.FLAGS
flags.DEFINE_list("modes", [], "keys of kzoo.nn.upsampling.UPSAMPLING (default: all)")
flags.DEFINE_list("seeds", ["0", "1", "2"], "of train.py")
flags.DEFINE_string("dataset", "people", "of train.py")
flags.DEFINE_string("data_dir", None, "where prepared data sets lie (default: ~/tensorflow_datasets)")
flags.DEFINE_string("train_split", "train", "of train.py")
flags.DEFINE_string("val_split", "val", "of train.py")
flags.DEFINE_string("encoder", "small", "of train.py")
flags.DEFINE_string("size", "64", "of the pictures in pixels")
flags.DEFINE_integer("epochs", 2, "of each run", lower_bound=1)
flags.DEFINE_integer("batch_size", 16, "of each run", lower_bound=1)
flags.DEFINE_multi_string("train_flag", [], "further flag of train.py, --train_flag=--lr=1e-3; may be repeated")
flags.DEFINE_string("out", "runs/upsampling", "folder of the runs")
flags.DEFINE_string("results", str(ROOT / "benchmarks" / "results" / "upsampling"), "the results, without the ending")
SHARED = (
    "dataset",
    "train_split",
    "val_split",
    "encoder",
    "size",
    "epochs",
    "batch_size",
)  # what all runs have in common


def collect(folder: pathlib.Path, arch: str, mode: str) -> dict:
    """One run as a row, from its report."""
    from kzoo.runs import Run
    from kzoo.sweep import comparison

    row = comparison.row(Run.open(folder))
    told = ("seed", "miou", "parameters", "minutes", "epochs")
    return {"upsampling": mode, "arch": arch, **{name: row.get(name) for name in told}}


def grouped(runs: list[dict]) -> dict[tuple[str, str], list[dict]]:
    """{(mode, arch): its runs}, in the order of the runs."""
    groups = {}
    for run in runs:
        groups.setdefault((run["upsampling"], run["arch"]), []).append(run)
    return groups


def bars(runs: list[dict]):
    """A pair of bars a mode, the standard deviation as a whisker and the seeds as points."""
    from matplotlib.figure import Figure

    groups, modes = grouped(runs), list(dict.fromkeys(run["upsampling"] for run in runs))
    figure = Figure(figsize=(1.6 * len(modes) + 2.5, 4.2), layout="constrained")
    axes = figure.subplots()
    for i, (arch, words) in enumerate(ARCHS.items()):
        scores = [[run["miou"] for run in groups[mode, arch]] for mode in modes]
        places = [place + 0.4 * i - 0.2 for place in range(len(modes))]
        spread = [statistics.stdev(s) if len(s) > 1 else 0.0 for s in scores]
        axes.bar(places, [statistics.mean(s) for s in scores], 0.38, yerr=spread, capsize=3, label=f"{words} ({arch})")
        axes.plot(
            [p for p, s in zip(places, scores, strict=True) for _ in s],
            [v for s in scores for v in s],
            "k.",
            markersize=4,
        )
    axes.set_xticks(range(len(modes)), modes)
    axes.set(ylabel="mIoU", xlabel="upsampling")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize="small", loc="upper left", ncols=2)
    axes.set_ylim(top=1.15 * axes.get_ylim()[1])
    return figure


def main():
    from kzoo import cli, files
    from kzoo.figures import base as figures
    from kzoo.nn.upsampling import UPSAMPLING

    modes = FLAGS.modes or list(UPSAMPLING)
    for mode in modes:
        cli.pick(UPSAMPLING, mode, "modes")
    out = pathlib.Path(FLAGS.out)
    settings = {name: FLAGS[name].value for name in (*SHARED, "train_flag")}
    repeats.check_settings(out, settings)
    hardware = contenders.hardware()
    # Seeds outermost: when stopped early, there is one whole table before there is a second seed.
    plan = [
        (arch, mode, seed, out / f"{arch}-{mode}-{seed}") for seed in FLAGS.seeds for mode in modes for arch in ARCHS
    ]
    with tqdm(plan, unit="run", disable=None) as progress:
        for arch, mode, seed, folder in progress:
            progress.set_postfix_str(folder.name)
            flags = ["--task=seg", f"--arch={arch}", f"--set=upsampling={mode}", f"--seed={seed}"]
            flags += [*(f"--{name}={settings[name]}" for name in SHARED), *settings["train_flag"]]
            repeats.train(folder, flags, FLAGS.data_dir)
    runs = [collect(folder, arch, mode) for arch, mode, _, folder in plan]
    measured = {
        "settings": settings,
        "seeds": FLAGS.seeds,
        "hardware": hardware,
        "versions": contenders.versions("kzoo", "keras", "tensorflow", "tensorflow-datasets", "numpy"),
        "runs": runs,
    }
    path = pathlib.Path(FLAGS.results)
    files.write_json(path.with_suffix(".json"), measured)
    figures.save(bars(runs), path.with_suffix(".png"))
    print(f"{contenders.table(*results.upsampling(measured))}\nwrote {path}.json and .png")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))  # the package next to this folder, installed or not
    from kzoo import cli

    cli.run(main)
