"""Train one architecture: flags -> task -> data -> model -> compile -> fit -> report.

python train.py --task=seg --arch=unet
python train.py --task=pose --arch=softargmax --dataset=coco_subset --data_source=<COCO folder or lab zip>
"""

import dataclasses
import pathlib
import sys
import tempfile
import time

from absl import flags

from kzoo import UserError, cli, files
from kzoo.datasets import registry
from kzoo.datasets.about import OFFICIAL

FLAGS = flags.FLAGS
SOURCED = [name for name in registry.NAMES if registry.about(name).source]
DOWNLOADABLE = [name for name in SOURCED if registry.about(name).downloadable]
# Defaults of None come from the task's recipe for the data set (kzoo/tasks.py).
flags.DEFINE_string("task", "seg", "pose, seg, pose3d, loc or cluster")
flags.DEFINE_string("arch", "unet", "architecture of the task")
flags.DEFINE_string(
    "dataset",
    None,
    f"{', '.join(registry.NAMES)}, or one of their configurations, people/clips for instance (see python -m kzoo.list "
    "datasets); a name alone means the task's configuration (default: the built-in one of the task)",
)
flags.DEFINE_string("data_dir", None, "where prepared data sets lie (default: ~/tensorflow_datasets)")
flags.DEFINE_string(
    "data_source",
    None,
    f"raw data of {', '.join(SOURCED)}: the folder of your copy (for what must lie in it see datasets/*/README.md); "
    f"{OFFICIAL} downloads {', '.join(DOWNLOADABLE)}",
)
flags.DEFINE_string(
    "train_split", None, "TFDS split to train on; slices like train[:100] are allowed (default: train, or the recipe's)"
)
flags.DEFINE_string("val_split", None, "TFDS split to validate on (default: val; cluster: the one trained on)")
flags.DEFINE_string("encoder", None, "see kzoo/nn/encoders.py")
flags.DEFINE_string("encoder_weights", None, "imagenet, none or a weights file")
flags.DEFINE_string(
    "init",
    None,
    "kernel initialiser of everything without weights: he_normal, glorot_uniform, … (default: the network's)",
)
flags.DEFINE_enum("norm", None, ["batch", "group", "none"], "normalisation inside the network (default: the network's)")
flags.DEFINE_float("bias", None, "where the values added before ReLUs start; small and positive keeps them alive")
flags.DEFINE_float(
    "dropout", None, "share of features switched off (default: the network's)", lower_bound=0.0, upper_bound=0.99
)
flags.DEFINE_enum(
    "normalise",
    None,
    ["none", "mean", "zscore", "whiten"],
    "of the input, by statistics of the training split that are kept in the network (default: what the encoder was trained with)",
)
flags.DEFINE_multi_string("set", None, "hyperparameter of the architecture, --set=width=32; may be repeated")
flags.DEFINE_string(
    "size", None, "of the input in pixels: the side of a square, or <height>x<width>; mostly multiples of 32"
)
flags.DEFINE_integer("batch_size", None, "examples a step", lower_bound=1)
flags.DEFINE_integer("epochs", None, "passes over the training split", lower_bound=1)
flags.DEFINE_float("lr", None, "peak learning rate", lower_bound=0.0)
flags.DEFINE_integer(
    "lr_base_batch",
    None,
    "linear scaling: --lr is for this batch size, times --batch_size over it is used",
    lower_bound=1,
)
flags.DEFINE_boolean(
    "find_lr", False, "try rates from 1e-6 to 1 instead of training: lr_range.png and .json in the run folder"
)
flags.DEFINE_string("schedule", None, "constant, step, cosine, poly or plateau (a tenth when the score rests)")
flags.DEFINE_list("milestones", [], "epochs after which --schedule=step divides the rate by 10")
flags.DEFINE_integer(
    "patience", 5, "epochs without a better score after which --schedule=plateau divides the rate by 10", lower_bound=1
)
flags.DEFINE_float("warmup", None, "epochs of linear warm-up", lower_bound=0.0)
flags.DEFINE_string("optimizer", None, "adam, sgd or rmsprop")
flags.DEFINE_float("weight_decay", None, "decoupled weight decay", lower_bound=0.0)
flags.DEFINE_float("l2", 0.0, "L2 penalty in the loss, of all kernels", lower_bound=0.0)
flags.DEFINE_float(
    "ema",
    None,
    "score and keep the moving average of the weights, for instance 0.999",
    lower_bound=0.0,
    upper_bound=1.0,
)
flags.DEFINE_string(
    "loss",
    None,
    "of the scored output; coordinates: l1, l2, euclidean; heat maps: mse; pose3d: euclidean, mse, l1; loc: geometric, uncertainty, none; "
    "seg: cross_entropy, cross_entropy_dice, dice, bootstrapped (the hardest quarter of the pixels, or --loss_set=bootstrap=<number>)",
)
flags.DEFINE_multi_string("loss_set", None, "keyword of the loss, --loss_set=label_smoothing=0.1; may be repeated")
flags.DEFINE_enum(
    "class_weights",
    None,
    ["none", "median_frequency"],
    "of seg losses, by the classes' frequency in the training split",
)
flags.DEFINE_list("border", None, "weight and sigma of U-Net's border map, 10,5 in the paper (seg)")
flags.DEFINE_multi_string(
    "loss_weights", None, "weight of an output's loss, --loss_weights=latent_heatmaps=0.1; may be repeated"
)
flags.DEFINE_enum(
    "precision", "auto", ["auto", "float32", "mixed_bfloat16", "mixed_float16"], "auto: float32 on CPU, mixed elsewhere"
)
flags.DEFINE_enum(
    "jit", "auto", ["auto", "on", "off"], "XLA; auto: off on TensorFlow's CPU, where it is slower, on elsewhere"
)
flags.DEFINE_integer("seed", 0, "of weights, shuffle and augmentation", lower_bound=0)
flags.DEFINE_float(
    "augment", None, "strength of the random affine and colour jitter: 1 as in kzoo/tasks.py, 0 none", lower_bound=0.0
)
flags.DEFINE_float(
    "zoom",
    None,
    "scale is drawn from 1 / (1 + zoom) to 1 + zoom (default of these five: kzoo/tasks.py)",
    lower_bound=0.0,
)
flags.DEFINE_float("rotation", None, "degrees, to either side", lower_bound=0.0, upper_bound=180.0)
flags.DEFINE_float("translate", None, "share of each side, to either side", lower_bound=0.0, upper_bound=1.0)
flags.DEFINE_float(
    "crop", None, "share of each side that a window at a random place leaves out", lower_bound=0.0, upper_bound=0.9
)
flags.DEFINE_float("flip", None, "probability of mirroring", lower_bound=0.0, upper_bound=1.0)
flags.DEFINE_float("color_pca", None, "sigma of Color PCA (Krizhevsky 2012): 0.1 in the paper", lower_bound=0.0)
flags.DEFINE_enum("color_pca_of", "train", ["train", "imagenet"], "whose principal colours")
flags.DEFINE_integer("rounds", None, "cluster: updates of the target distribution, at most", lower_bound=0)
flags.DEFINE_integer("update_interval", None, "cluster: steps between two of them", lower_bound=1)
flags.DEFINE_float(
    "tol", None, "cluster: stop once fewer labels than this share change in a round", lower_bound=0.0, upper_bound=1.0
)
flags.DEFINE_float(
    "cluster_lr",
    None,
    "cluster: learning rate of the rounds; --lr and --epochs are the auto-encoder's",
    lower_bound=0.0,
)
flags.DEFINE_boolean("cache", False, "keep the encoded records in memory")
flags.DEFINE_string("out", None, "run folder (default: runs/<task>-<arch>-<dataset>-<time>)")
flags.DEFINE_boolean(
    "resume", False, "continue the run in --out with the flags stored there; --epochs may extend it (cluster: --rounds)"
)


def stored_flags(given) -> dict:
    """Flags of the run that --resume continues."""
    if not given["out"] or not (pathlib.Path(given["out"]) / "run.json").exists():
        raise UserError(f"--resume needs --out=<folder of an earlier run>; got {given['out']!r}")
    return files.read_json(pathlib.Path(given["out"]) / "run.json")["flags"]


def run_folder(flag) -> pathlib.Path:
    """The folder of the run, made and known to be writable."""
    if flag["resume"]:
        return pathlib.Path(flag["out"])
    stamp = time.strftime("%Y%m%d-%H%M%S")
    folder = pathlib.Path(
        flag["out"] or f"runs/{flag['task']}-{flag['arch']}-{flag['dataset'].replace('/', '-')}-{stamp}"
    )
    if (folder / "run.json").exists():
        raise UserError(f"{folder} already holds a run; give another --out, or --resume to continue it")
    try:  # hours of training should not end at a folder that cannot be written
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UserError(f"could not write to the run folder {folder}: {error.strerror}") from error
    return folder


def describe_run(flag, task, builder, model, names, precision, colours, fitted, class_weights) -> dict:
    """Content of `run.json`."""
    from kzoo.data import builders
    from kzoo.training import environment

    frames = builders.frames_of(builder)
    return {
        "flags": {**flag, "resume": False},
        "score": f"val_{task.score[0]}",
        "mode": task.score[1],
        "precision": precision,
        "names": names,
        **({"colours": colours.to_dict()} if colours else {}),
        **({"fitted": fitted} if fitted else {}),
        **({"frames": frames} if frames else {}),
        **({"class_weights": dict(zip(names, class_weights, strict=True))} if class_weights else {}),
        **environment.provenance(model),
        "dataset": builders.describe(builder),
    }


def learn_labels(model, task, builder, flag, options, losses, colours, described, jit) -> tuple:
    """`model.fit` by the labels of the training split: the run folder, and a line for people; None for it after
    --find_lr."""
    import keras

    from kzoo import runs
    from kzoo.data import builders, pipeline, transforms
    from kzoo.figures import base as figures
    from kzoo.training import callbacks, lr_range, networks, optimization, settings

    batch_size, shape = flag["batch_size"], cli.shape_of(flag["size"])
    steps = pipeline.steps_of(builder, flag["train_split"], batch_size)
    lr = optimization.scaled_lr(flag["lr"], batch_size, flag["lr_base_batch"]) if flag["lr_base_batch"] else flag["lr"]
    optimizer = optimization.optimizer(
        flag["optimizer"],
        "plateau" if flag["find_lr"] else flag["schedule"],  # a plain number, which both change
        lr=lr,
        steps=steps,
        epochs=flag["epochs"],
        warmup=flag["warmup"],
        milestones=flag["milestones"],
        weight_decay=flag["weight_decay"],
        ema=flag["ema"],
    )
    if flag["l2"]:
        optimization.add_l2(model, flag["l2"])
    model.compile(optimizer, jit_compile=jit, **losses)
    model.optimizer.build(
        model.trainable_variables
    )  # inside the graph of the first step it takes as long as all of the rest

    labels = {name: task.outputs[name].label for name in model.output_names}
    plain = transforms.View(shape, labels, reads=networks.reads(model))
    augmented = dataclasses.replace(
        settings.augmented_view(plain, task, flag, colours), border=settings.border_of(flag)
    )
    sample = networks.train_sample(
        flag["train_split"],
        builders.size_of(builder, flag["train_split"]),
        builders.size_of(builder, flag["val_split"]),
    )
    unaugmented, val = (
        pipeline.pipeline(builder, split, plain, batch_size=batch_size, cache=flag["cache"])
        for split in (sample, flag["val_split"])
    )

    folder, score = run_folder(flag), described["score"]
    if flag["find_lr"]:
        batches = pipeline.pipeline(
            builder, flag["train_split"], augmented, batch_size=batch_size, seed=flag["seed"], epochs=range(1)
        )
        found = lr_range.find(model, batches)
        files.write_json(folder / "lr_range.json", {"flags": flag, **found})
        figures.save(lr_range.plot(found), folder / "lr_range.png")
        print(f"try --lr={found['suggestion']:.2g}\nwrote {folder}/lr_range.png")
        return folder, None
    runs.keep_parts(folder, options)
    keeper = callbacks.RunFolder(folder, score=score, mode=task.score[1], steps=steps)
    first = keeper.restore(model) if flag["resume"] else 0
    files.write_json(folder / "run.json", described)
    if first < flag["epochs"]:
        train = pipeline.pipeline(
            builder,
            flag["train_split"],
            augmented,
            batch_size=batch_size,
            seed=flag["seed"],
            epochs=range(first, flag["epochs"]),
            cache=flag["cache"],
        )
        called = [
            callbacks.TrainScore(unaugmented),
            callbacks.PlainNames(task.main_of(model.output_names), losses["metrics"]),
            callbacks.LossWeights(task.terms),
            callbacks.Progress(steps, batch_size, flag["epochs"], first, ("loss", score)),
            keeper,
            keras.callbacks.TensorBoard(folder / "tensorboard", write_graph=False),
        ]
        if flag["ema"]:
            called.append(optimization.WeightAverage())
        if flag["schedule"] == "plateau":
            called.append(optimization.Plateau(keeper, lr, patience=flag["patience"], warmup=flag["warmup"]))
        try:
            model.fit(
                train,
                epochs=flag["epochs"],
                initial_epoch=first,
                steps_per_epoch=steps,
                validation_data=val,
                shuffle=False,
                verbose=0,
                callbacks=called,
            )
        except KeyboardInterrupt:
            keeper.interrupted(model)
    best = keeper.best()
    return folder, f"best epoch {best['epoch'] if best else 0} of {flag['epochs']}"


def learn_clusters(model, task, builder, flag, options, losses, colours, described, jit) -> tuple:
    """The task's own training, without labels: as `learn_labels`."""
    from kzoo import runs
    from kzoo.data import builders
    from kzoo.evaluation import scoring
    from kzoo.training import clustering, networks

    split, shape = flag["train_split"], cli.shape_of(flag["size"])
    batches = scoring.batches(task, builder, split, shape, flag["batch_size"], networks.reads(model))
    folder = None

    def start():
        nonlocal folder
        folder = run_folder(flag)
        runs.keep_parts(folder, options)
        files.write_json(folder / "run.json", described)
        return folder

    compiled = {name: losses[name] for name in ("loss", "loss_weights")}
    ended = clustering.train(
        model, batches, builders.size_of(builder, split), compiled=compiled, flag=flag, start=start, jit_compile=jit
    )
    return folder, ended


def main():
    given = {flag.name: flag.value for flag in FLAGS.get_key_flags_for_module(sys.modules[__name__])}
    import keras  # slow: only once the flags are known to parse

    from kzoo import runs, tasks
    from kzoo.data import builders, pipeline
    from kzoo.evaluation import scoring
    from kzoo.training import environment, networks, settings

    if given["resume"]:
        kept = {name: given[name] for name in ("out", "data_dir", "epochs", "rounds") if given[name] is not None}
        given = {
            **given,
            **stored_flags(given),
            "data_source": None,
            **kept,
            "resume": True,
        }  # older runs lack newer flags
    task = cli.pick(tasks.TASKS, given["task"], "task")
    cli.pick(task.archs, given["arch"], "arch")
    flag = settings.resolve(task, given)
    print(
        "flags:",
        " ".join(f"--{name}={value}" for name, value in sorted(flag.items()) if value not in (None, [], False)),
        flush=True,
    )
    accelerator = environment.on_accelerator()
    precision = environment.precision(flag["precision"], accelerator)
    keras.config.set_dtype_policy(precision)
    keras.utils.set_random_seed(flag["seed"])

    builder = builders.prepare(flag["dataset"], flag["data_dir"], flag["data_source"])
    metadata = builders.metadata_of(builder)
    if task.names not in metadata:
        raise UserError(f"{builder.info.full_name} has no {task.names}: it is not for --task={flag['task']}")
    names, shape = metadata[task.names], cli.shape_of(flag["size"])
    if task.input.square and shape[0] != shape[1]:
        raise UserError(f"--task={flag['task']} works on square crops, got --size={flag['size']}")
    pipeline.steps_of(builder, flag["train_split"], flag["batch_size"])  # enough examples for one step?

    colours, class_weights = settings.fit_statistics(builder, flag, len(names))
    fitted = settings.fit_keywords(builder, flag, task)
    options = networks.network_options(flag, colours, fitted)
    if flag["resume"]:
        options |= runs.parts_of(flag["out"])
    model = networks.build(task, flag["arch"], (*builders.frames_of(builder), *shape), len(names), **options)
    losses = networks.compile_arguments(
        task,
        model,
        len(names),
        loss=flag["loss"],
        loss_options={
            **({"class_weights": class_weights} if class_weights else {}),
            **cli.assignments(flag["loss_set"], "loss_set"),
        },
        weights=cli.assignments(flag["loss_weights"], "loss_weights"),
    )
    described = describe_run(flag, task, builder, model, names, precision, colours, fitted, class_weights)
    learn = {"labels": learn_labels, "clusters": learn_clusters}[task.learning]
    folder, ended = learn(
        model, task, builder, flag, options, losses, colours, described, environment.jit(flag["jit"], accelerator)
    )
    if ended is None:
        return
    result = scoring.evaluate(folder, split=flag["val_split"], pictures=6, data_dir=flag["data_dir"])
    scores = ", ".join(f"{name} {value:.4f}" for name, value in result["scores"].items())
    print(f"{ended}; {flag['val_split']}: {scores}\nwrote {folder}/")


if __name__ == "__main__":
    cli.run(main)
