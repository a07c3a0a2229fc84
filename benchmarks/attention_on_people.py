"""Does a pose network look at people?

Share of Grad-CAM++, or Grad-CAM, on persons over the persons' share of the picture, joint by joint.

python benchmarks/attention_on_people.py --run=runs/<pose run on people> --split=val

Of a map that is the same everywhere the ratio is 1; it is at most 1 over the persons' share of the picture. Every
person's pixels count, not only those of the person whose joints are labelled. A cell of a map lies on a person as far
as its area does. Left out are pictures without a person in the mask, without a label of the joint, or without a feature
that raises the score (no map); the JSON file tells how many are in. Two scores:
    peak    the highest value of the joint's map, where the network emits one
    xy      the joint's coordinates, the maps of +x, -x, +y and -y averaged
"""

import itertools
import pathlib
import sys
import time

import cv2
import numpy as np
from absl import flags

FLAGS = flags.FLAGS
flags.DEFINE_string("run", None, "run of --task=pose on a data set with masks of persons")
flags.DEFINE_string("split", "val", "TFDS split; slices like val[:64] are allowed")
flags.DEFINE_multi_enum("score", ["peak", "xy"], ["peak", "xy"], "may be repeated")
flags.DEFINE_multi_enum("method", ["grad_cam_pp", "grad_cam"], ["grad_cam_pp", "grad_cam"], "may be repeated")
flags.DEFINE_multi_string("layer", [], "may be repeated (default: as kzoo.explain)")
flags.DEFINE_boolean("down", False, "by default layers of the encoder alone, before a decoder")
flags.DEFINE_integer("batch_size", 32, "pictures a step", lower_bound=1)
flags.DEFINE_string("data_dir", None, "where prepared data sets lie (default: the run's)")
IGNORE = 255


def cell_shares(persons, shape: tuple[int, int]) -> np.ndarray:
    """Share of each cell's area on persons: (B, H, W) bool -> (B, h, w) float32, also where cells cut pixels."""
    return np.stack([cv2.resize(one.astype("float32"), shape[::-1], interpolation=cv2.INTER_AREA) for one in persons])


def share_on_persons(maps, persons) -> np.ndarray:
    """Share of each map's mass on persons: (B, h, w), (B, H, W) bool -> (B,), NaN where the map is empty."""
    mass = maps.sum(axis=(1, 2), dtype="float64")
    return (maps * cell_shares(persons, maps.shape[1:])).sum(axis=(1, 2)) / np.where(mass > 0, mass, np.nan)


def measure(model, batches, joints: list[str], taps: dict, asked: str, method: str) -> tuple[np.ndarray, np.ndarray]:
    """Share of mass and share of area: (N, joints, layers) and (N, joints), NaN where a joint or a map is missing."""
    from kzoo.explain import explanation
    from kzoo.explain import targets as explain_targets
    from kzoo.tasks import POSE

    shares = []
    areas = []
    for images, labels in batches:
        persons = (labels["mask"] > 0) & (labels["mask"] != IGNORE)
        area = persons.mean(axis=(1, 2))
        answers = explanation.answers_of(model, {"image": images})
        share = np.full((len(images), len(joints), len(taps)), np.nan)
        for number, joint in enumerate(joints):
            target = explain_targets.target(POSE, {"joints": joints}, model, f"coords:{joint}" + asked)
            maps = explanation.looked(method, model, {"image": images}, target.scores(answers), taps)
            share[:, number] = np.stack([share_on_persons(array, persons) for array in maps.values()], axis=-1)
        labelled = (labels["keypoints"][..., 2] > 0) & (area > 0)[:, None]
        shares.append(np.where(labelled[..., None], share, np.nan))
        areas.append(np.where(labelled, area[:, None], np.nan))
    return np.concatenate(shares), np.concatenate(areas)


def ratios(shares, areas) -> np.ndarray:
    """(joints, layers + 1): mean share of mass over mean share of area of the same pictures.

    The last column is the layers' mean.
    """
    kept = np.isfinite(shares)
    mass = np.where(kept, shares, 0).sum(axis=0)
    area = np.where(kept, areas[..., None], 0).sum(axis=0)
    by_layer = mass / np.where(area > 0, area, np.nan)
    return np.concatenate([by_layer, by_layer.mean(axis=1, keepdims=True)], axis=1)


def main():
    if not FLAGS.run:
        raise UserError("--run=<run folder> is needed")
    from tqdm.auto import tqdm

    from kzoo import files
    from kzoo.data import builders, pipeline, transforms
    from kzoo.evaluation import tables
    from kzoo.explain import targets as explain_targets
    from kzoo.nn.decoding import MAPS
    from kzoo.runs import Run

    # The run, its data and what may be looked at.
    started = time.time()
    run = Run.open(FLAGS.run)
    if run.flags["task"] != "pose":
        raise UserError(f"--run={FLAGS.run} is a run of --task={run.flags['task']}; allowed: pose")
    model = run.model()
    joints = list(run.names)
    builder = run.builder(FLAGS.data_dir)
    builders.classes_of(builder)
    output = next((name for name in MAPS if name in model.output_names), "coords")
    possible = {"peak": "" if output in MAPS else None, "xy": ":xy" if "coords" in model.output_names else None}
    taps = explain_targets.taps(model, output, FLAGS.layer, down=FLAGS.down)
    view = transforms.View(run.shape, {"keypoints": "keypoints", "mask": "mask"})
    steps = -(-builders.size_of(builder, FLAGS.split) // FLAGS.batch_size)

    # Each score by each method.
    shown = []
    result = {"run": run.name, "split": FLAGS.split, "layers": list(taps), "scores": {}}
    for score, method in itertools.product(FLAGS.score, FLAGS.method):
        if possible[score] is None:
            print(f"no {score}: the network emits {', '.join(model.output_names)}")
            continue
        name = f"{method} of {score}"
        batches = pipeline.pipeline(builder, FLAGS.split, view, batch_size=FLAGS.batch_size).as_numpy_iterator()
        progress = tqdm(batches, total=steps, desc=name, dynamic_ncols=True)
        shares, areas = measure(model, progress, joints, taps, possible[score], method)
        per_joint = ratios(shares, areas)
        columns = [*(f"{layer} ({x.shape[1]}x{x.shape[2]})" for layer, x in taps.items()), "mean"]
        numbers = dict(zip(joints, per_joint.tolist(), strict=True))
        numbers["all joints"] = np.nanmean(per_joint, axis=0).tolist()
        lines = [[joint, *values] for joint, values in numbers.items()]
        shown.append(f"{name}\n\n{tables.markdown_table(['joint', *columns], lines)}")
        counts = np.isfinite(shares).all(axis=2).sum(axis=0).tolist()
        result["scores"][name] = {
            "ratio": {joint: dict(zip(columns, values, strict=True)) for joint, values in numbers.items()},
            "share_of_area": float(np.nanmean(areas)),
            "pictures": dict(zip(joints, counts, strict=True)),
        }

    result["seconds"] = round(time.time() - started, 1)
    out = pathlib.Path(FLAGS.run)
    files.write_json(out / "attention_on_people.json", result)
    files.write_text(out / "attention_on_people.md", "\n".join(shown))
    print("\n".join(shown))


if __name__ == "__main__":
    try:
        from kzoo import UserError, cli
    except ImportError:  # not installed: the package next to this folder
        sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
        from kzoo import UserError, cli

    cli.run(main)
