"""How well clusters are the classes: every arch of --task=cluster over seeds, beside k-means on pixels and on
auto-encoder codes.

    python benchmarks/clustering.py
    python benchmarks/clustering.py --archs=dec,idec --seeds=0,1 --dataset=usps --train_flag=--epochs=50

Each run is train.py by its recipe, in a process of its own, one after the other; called again, it repeats no finished
run and continues one that was stopped. Prints the mean ± standard deviation (n - 1) over the seeds and writes the runs'
scores as .json, from which `python benchmarks/results.py` makes docs/results.md. Labels serve the scores alone.
"""

import pathlib
import sys

import contenders
import repeats
import results
from absl import flags
from tqdm import tqdm

FLAGS = flags.FLAGS
flags.DEFINE_list("archs", ["dec", "idec", "dcec", "fcae"], "of train.py")
flags.DEFINE_list("seeds", ["0", "1", "2", "3", "4"], "of train.py")
flags.DEFINE_string("dataset", "digits", "of train.py")
flags.DEFINE_string("data_dir", None, "where prepared data sets lie (default: ~/tensorflow_datasets)")
flags.DEFINE_multi_string("train_flag", [], "further flag of train.py, --train_flag=--epochs=50; may be repeated")
flags.DEFINE_string("out", "runs/clustering", "folder of the runs")
flags.DEFINE_string(
    "results", str(repeats.ROOT / "benchmarks" / "results" / "clustering"), "the results, without the ending"
)


def rows_of(folder: pathlib.Path) -> list[dict]:
    """The run's scores, and those of the baselines that it was compared with."""
    from kzoo import files

    result = files.read_json(folder / "report.json")
    about = {"arch": result["flags"]["arch"], "seed": result["flags"]["seed"]}
    own = {"parameters": result["parameters"], "stopped": result["stopped"]}
    scored = {"the network": result["scores"], **result.get("baselines", {})}
    return [
        {**about, "method": name, **scores, **(own if name == "the network" else {})} for name, scores in scored.items()
    ]


def main():
    from kzoo import files

    out = pathlib.Path(FLAGS.out)
    settings = {"dataset": FLAGS.dataset, "train_flag": FLAGS.train_flag}
    repeats.check_settings(out, settings)
    plan = [(arch, seed, out / f"{arch}-{seed}") for seed in FLAGS.seeds for arch in FLAGS.archs]
    with tqdm(plan, unit="run", disable=None) as progress:
        for arch, seed, folder in progress:
            progress.set_postfix_str(folder.name)
            flags = [
                "--task=cluster",
                f"--arch={arch}",
                f"--dataset={FLAGS.dataset}",
                f"--seed={seed}",
                *FLAGS.train_flag,
            ]
            repeats.train(folder, flags, FLAGS.data_dir)
    rows = [row for _, _, folder in sorted(plan, key=lambda run: FLAGS.archs.index(run[0])) for row in rows_of(folder)]
    versions = contenders.versions("kzoo", "keras", "tensorflow", "scikit-learn", "numpy")
    about = {"settings": settings, "seeds": FLAGS.seeds, "hardware": contenders.hardware(), "versions": versions}
    measured, path = {**about, "runs": rows}, pathlib.Path(FLAGS.results).with_suffix(".json")
    files.write_json(path, measured)
    print(f"{contenders.table(*results.clustering(measured))}\nwrote {path}")


if __name__ == "__main__":
    sys.path.insert(0, str(repeats.ROOT))  # the package next to this folder, installed or not
    from kzoo import cli

    cli.run(main)
