"""Train one architecture: flags -> task -> data -> model -> compile -> fit -> report.

python train.py --task=seg --arch=unet
python train.py --task=pose --arch=softargmax --dataset=coco_subset --data_source=<COCO folder or lab zip>
"""

import contextlib
import dataclasses
import shlex
import sys

from absl import flags

from kzoo import UserError, cli, runs
from kzoo.cli import frameworks
from kzoo.datasets import registry
from kzoo.datasets.about import OFFICIAL
from kzoo.runs import Run
from kzoo.training import catalogue, checks, interruption, resolving
from kzoo.training.configuration import Configuration

FLAGS = flags.FLAGS
SOURCED = [name for name in registry.NAMES if registry.about(name).source]
DOWNLOADABLE = [name for name in SOURCED if registry.about(name).downloadable]
FIGURES = 6  # examples that the report at the end draws
KEPT = ("out", "data_dir", "data_source", "epochs", "rounds", "cache")  # flags that --resume may change


def define_flags():
    """Defaults of None come from the task's recipe for the data set (kzoo/tasks/)."""
    flags.DEFINE_string("task", "seg", ", ".join(catalogue.tasks()))
    flags.DEFINE_string(
        "arch",
        None,
        "architecture of the task (default: "
        + ", ".join(f"{task.default} of {name}" for name, task in catalogue.tasks().items())
        + ")",
    )
    flags.DEFINE_string(
        "dataset",
        None,
        f"{', '.join(registry.NAMES)}, or one of their configurations, people/clips for instance (see python -m "
        "kzoo.list "
        "datasets); a name alone means the task's configuration (default: the built-in one of the task)",
    )
    cli.DEFINE_path("data_dir", None, "where prepared data sets lie (default: ~/tensorflow_datasets)")
    cli.DEFINE_path(
        "data_source",
        None,
        f"raw data of {', '.join(SOURCED)}: the folder of your copy (for what must lie in it see "
        "datasets/*/README.md); "
        f"{OFFICIAL} downloads {', '.join(DOWNLOADABLE)}",
    )
    flags.DEFINE_integer(
        "max_pixels",
        None,
        "pictures of raw data that have more are refused by their header (default: 180 million)",
        lower_bound=1,
    )
    flags.DEFINE_boolean(
        "refresh",
        False,
        "prepare the data set again, from the present state of its source; the old one stays till then",
    )
    flags.DEFINE_string(
        "train_split",
        None,
        "TFDS split to train on; slices like train[:100] are allowed (default: train, or the recipe's)",
    )
    flags.DEFINE_string("val_split", None, "TFDS split to validate on (default: val; cluster: the one trained on)")
    flags.DEFINE_string("encoder", None, "see kzoo/nn/encoders.py")
    cli.DEFINE_path("encoder_weights", None, "imagenet, none or a weights file")
    flags.DEFINE_string(
        "init",
        None,
        "kernel initialiser of everything without weights: he_normal, glorot_uniform, … (default: the network's)",
    )
    flags.DEFINE_enum(
        "norm", None, ["batch", "group", "none"], "normalisation inside the network (default: the network's)"
    )
    flags.DEFINE_float("bias", None, "where the values added before ReLUs start; small and positive keeps them alive")
    flags.DEFINE_float(
        "dropout", None, "share of features switched off (default: the network's)", lower_bound=0.0, upper_bound=0.99
    )
    flags.DEFINE_enum(
        "normalise",
        None,
        ["none", "mean", "zscore", "whiten"],
        "of the input, by statistics of the training split that are kept in the network (default: what the encoder was "
        "trained with)",
    )
    flags.DEFINE_multi_string("set", None, "hyperparameter of the architecture, --set=width=32; may be repeated")
    flags.DEFINE_string(
        "size", None, "of the input in pixels: the side of a square, or <height>x<width>; mostly multiples of 32"
    )
    flags.DEFINE_integer("batch_size", None, "examples a step", lower_bound=1, upper_bound=cli.LARGEST_BATCH)
    flags.DEFINE_integer("epochs", None, "passes over the training split", lower_bound=1, upper_bound=cli.LARGEST_COUNT)
    flags.DEFINE_float("lr", None, "peak learning rate", lower_bound=0.0)
    flags.DEFINE_integer(
        "lr_base_batch",
        None,
        "linear scaling: --lr is for this batch size, times --batch_size over it is used",
        lower_bound=1,
        upper_bound=cli.LARGEST_BATCH,
    )
    flags.DEFINE_boolean(
        "find_lr", False, "try rates from 1e-6 to 1 instead of training: lr_range.png and .json in the run folder"
    )
    flags.DEFINE_string("schedule", None, "constant, step, cosine, poly or plateau (a tenth when the score rests)")
    flags.DEFINE_list("milestones", [], "epochs after which --schedule=step divides the rate by 10")
    flags.DEFINE_integer(
        "patience",
        5,
        "epochs without a better score after which --schedule=plateau divides the rate by 10",
        lower_bound=1,
        upper_bound=cli.LARGEST_COUNT,
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
        "of the scored output; coordinates: l1, l2, euclidean; heat maps: mse; pose3d: euclidean, mse, l1; loc: "
        "geometric, uncertainty, none; "
        "seg: cross_entropy, cross_entropy_dice, dice, bootstrapped (the hardest quarter of the pixels, or "
        "--loss_set=bootstrap=<number>)",
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
        "precision",
        "auto",
        ["auto", "float32", "mixed_bfloat16", "mixed_float16"],
        "auto: float32 on CPU, mixed elsewhere",
    )
    flags.DEFINE_enum(
        "jit", "auto", ["auto", "on", "off"], "XLA; auto: off on TensorFlow's CPU, where it is slower, on elsewhere"
    )
    flags.DEFINE_integer("seed", 0, "of weights, shuffle and augmentation", lower_bound=0, upper_bound=cli.LARGEST_SEED)
    flags.DEFINE_float(
        "augment", None, "strength of the random affine and colour jitter: 1 as in kzoo/tasks/, 0 none", lower_bound=0.0
    )
    flags.DEFINE_float(
        "zoom",
        None,
        "scale is drawn from 1 / (1 + zoom) to 1 + zoom (default of these five: kzoo/tasks/)",
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
    flags.DEFINE_integer(
        "rounds",
        None,
        "cluster: updates of the target distribution, at most",
        lower_bound=0,
        upper_bound=cli.LARGEST_COUNT,
    )
    flags.DEFINE_integer(
        "update_interval", None, "cluster: steps between two of them", lower_bound=1, upper_bound=cli.LARGEST_COUNT
    )
    flags.DEFINE_float(
        "tol",
        None,
        "cluster: stop once fewer labels than this share change in a round",
        lower_bound=0.0,
        upper_bound=1.0,
    )
    flags.DEFINE_float(
        "cluster_lr",
        None,
        "cluster: learning rate of the rounds; --lr and --epochs are the auto-encoder's",
        lower_bound=0.0,
    )
    flags.DEFINE_boolean("cache", False, "keep the encoded records in memory")
    cli.DEFINE_path("out", None, "run folder (default: runs/<task>-<arch>-<dataset>-<time>)")
    flags.DEFINE_boolean(
        "resume",
        False,
        "continue the run in --out with the flags stored there; --epochs may extend it (cluster: --rounds)",
    )
    flags.DEFINE_boolean(
        "show", False, "print what would be trained, every flag resolved by the recipe, and start nothing"
    )


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is about to be trained.

    flag: resolved flags; task: its row of the zoo; builder: of the data; model: not compiled; compiled: arguments of
    compile; options: keywords of the network; colours: of the training split; config: of the run; jit: of compile.
    """

    flag: dict
    task: object
    builder: object
    model: object
    compiled: dict
    options: dict
    colours: object
    config: Configuration
    jit: object

    def begin(self, held: contextlib.ExitStack) -> Run:
        """The run folder: a new one, with copies of the runs that the network contains, or the one that goes on.

        Args:
            held: takes the lock of a new folder; that of a run that goes on is taken before it is read.
        """
        if self.flag["resume"]:
            before = Run.open(self.flag["out"])
            source = self.flag["data_source"] or before.flags.get("data_source")
            flag = {**self.config.flags, "data_source": source}  # a run does not forget where its data came from
            started = before.config.started or self.config.started
            return Run(before.folder, dataclasses.replace(self.config, flags=flag, started=started))
        folder = held.enter_context(runs.begun(self.flag["out"], self.flag))
        run = Run(folder, self.config)
        run.keep_networks(self.options)
        return run


def settled(given: dict, said: set[str] | None = None) -> dict:
    """Flags of the run, resolved by the task's recipes; of one that goes on those that are stored there. No framework
    is started: mistakes are told at once.

    Args:
        given: every flag by name; said: those that the user gave; None where that is not known.
    """
    given = runs.absolute_paths(given)
    if given["resume"]:
        given = resumed(given, said)
    if not given["resume"] and (path := runs.path_in(given["set"], "features")):
        trained = Run.open(path).flags  # its data and size are the ones to cluster
        given = {**given, **{name: trained[name] for name in ("dataset", "size", "data_dir") if given[name] is None}}
    flag = resolving.resolve(given)
    if not flag["resume"]:
        checks.weights(flag)
        checks.source(flag)
        if flag["out"] and Run.exists(flag["out"]):
            raise UserError(f"{flag['out']} already holds a run; give another --out, or --resume to continue it")
    return flag


def resumed(given: dict, said: set[str] | None) -> dict:
    """Flags of a run that goes on: those that are stored there, and what --resume may change.

    Raises:
        UserError: there is no such run, a flag that would make another run of it, or fewer epochs than it has.
    """
    if not given["out"] or not Run.exists(given["out"]):
        raise UserError(f"--resume needs --out=<folder of an earlier run>; got {given['out']!r}")
    if given["refresh"]:
        raise UserError("--resume goes on with the data that the run saw: it takes no --refresh")
    run = Run.open(given["out"])
    changed = [name for name in sorted(said or ()) if name not in (*KEPT, "resume", "refresh")]
    for name in changed:
        if name in run.flags and _differs(name, given[name], run.flags[name]):
            raise UserError(
                f"--{name} cannot change with --resume: {run.folder} has {run.flags[name]!r}, got {given[name]!r}; "
                f"it may be given --{', --'.join(KEPT[1:])}. For other flags begin a new run, without --resume"
            )
    said = {name for name in KEPT if given[name] not in (None, False)} if said is None else said & set(KEPT)
    kept = {name: given[name] for name in said & set(KEPT)}
    located = {
        "data_dir": kept.get("data_dir") or run.flags.get("data_dir"),
        "encoder_weights": run.located(run.flags.get("encoder_weights")),
        "data_source": kept.get("data_source"),  # what it was prepared from is not asked for again
        "out": given["out"],
    }
    merged = {**given, **run.flags, **located, **kept, "resume": True}  # older runs lack newer flags
    made = run.epochs_made()
    if merged["rounds"] is None and merged["epochs"] and merged["epochs"] < made:
        raise UserError(
            f"nothing to do: {run.folder} has {made} epochs already, got --epochs={merged['epochs']}; --epochs=<more> "
            "trains on, and without it the best epoch is scored again"
        )
    return merged


def _differs(name: str, given, stored) -> bool:
    """Whether a flag says something else than what a run has; what the recipe added does not count."""
    if name in ("set", "loss_set", "loss_weights"):
        kept = cli.assignments(stored, name)
        return any(key not in kept or kept[key] != value for key, value in cli.assignments(given, name).items())
    if name in ("milestones", "border"):
        return list(map(str, given or ())) != list(map(str, stored or ()))
    if name == "size":
        return cli.shape_of(given) != cli.shape_of(stored)
    if name == "dataset":
        return given != stored and not f"{stored}/".startswith(f"{given}/")
    return given != stored


def stopped(run: Run, made: int, of: int, *, what: str = "epoch") -> str:
    """For people: what a training that was asked to end leaves."""
    more = f"continue with --resume --out={shlex.quote(str(run.folder))}"
    if not made:
        return f"stopped before the first {what} ended, nothing of it is kept; {more}"
    return f"stopped after {made} whole {what}{'s' if made > 1 else ''} of {of}; {more}"


def planned(flag: dict) -> Plan:
    """Data, network and losses of resolved flags."""
    import keras  # slow: only once the flags are known to parse

    from kzoo.data import builders, pipeline, splits
    from kzoo.datasets import pictures
    from kzoo.tasks import TASKS
    from kzoo.training import environment, networks, settings

    task, shape = TASKS[flag["task"]], cli.shape_of(flag["size"])
    accelerator = environment.on_accelerator()
    precision = environment.precision(flag["precision"], accelerator)
    keras.config.set_dtype_policy(precision)

    # The data: of a run that goes on those that it saw
    pictures.limit_pixels(flag.get("max_pixels"))
    flag, dataset, builder = seen(flag)
    metadata = builders.metadata_of(builder)
    if task.names not in metadata:
        raise UserError(f"{builder.info.full_name} has no {task.names}: it is not for --task={flag['task']}")
    names = metadata[task.names]
    if task.input.square and shape[0] != shape[1]:
        raise UserError(f"--task={flag['task']} works on square crops, got --size={flag['size']}")
    pipeline.steps_of(builder, flag["train_split"], flag["batch_size"])  # enough examples for one step?
    overlap = splits.shared(builder, flag["val_split"], flag["train_split"])
    if overlap and task.learning == "labels":
        print(
            f"note: {overlap} examples of --val_split={flag['val_split']} are in --train_split={flag['train_split']} "
            "too: its scores are not those of unseen examples",
            flush=True,
        )

    # From here on random numbers are the run's: none has been drawn for preparing the data. Then what is measured on
    # the training split.
    keras.utils.set_random_seed(flag["seed"])
    colours, class_weights = settings.fit_statistics(builder, flag, len(names))
    fitted = settings.fit_keywords(builder, flag, task)

    # The network
    frames = builders.frames_of(builder)
    size = (*frames, *shape)
    options = networks.network_options(flag, colours, fitted)
    if flag["resume"]:
        options |= Run.open(flag["out"]).own_options()
    model = networks.build(task, flag["arch"], size, len(names), **runs.with_networks(options, size))
    loss_options = {"class_weights": class_weights} if class_weights else {}
    compiled = networks.compile_arguments(
        task,
        model,
        len(names),
        loss=flag["loss"],
        loss_options={**loss_options, **cli.assignments(flag["loss_set"], "loss_set")},
        weights=cli.assignments(flag["loss_weights"], "loss_weights"),
    )

    config = Configuration(
        flags={name: value for name, value in {**flag, "resume": False}.items() if name != "refresh"},
        score=f"val_{task.score[0]}",
        mode=task.score[1],
        precision=precision,
        names=names,
        colours=colours.to_dict() if colours else None,
        fitted=fitted or None,
        frames=frames,
        reads=networks.reads(model),
        class_weights=dict(zip(names, class_weights, strict=True)) if class_weights else None,
        dataset=dataset,
        **environment.provenance(model),
    )
    jit = environment.jit(flag["jit"], accelerator)
    return Plan(flag, task, builder, model, compiled, options, colours, config, jit)


def seen(flag: dict) -> tuple:
    """Flags whose places are absolute, `DataSet` and builder; a run that goes on must see the records that it saw."""
    from kzoo.data import builders, places

    source = places.absolute_source(flag["data_source"])
    if not flag["resume"]:
        data_dir = places.absolute(flag["data_dir"])
        builder = builders.prepare(flag["dataset"], data_dir, source, refresh=flag["refresh"])
        return {**flag, "data_dir": data_dir, "data_source": source}, builders.describe(builder), builder
    run = Run.open(flag["out"])
    stored = {name: run.flags.get(name) for name in ("data_dir", "data_source")}
    builder = run.builder(None if flag["data_dir"] == stored["data_dir"] else flag["data_dir"], source)
    data_dir = str(builder.data_dir_root) if flag["data_dir"] else None
    return {**flag, "data_dir": data_dir, "data_source": source or stored["data_source"]}, run.config.dataset, builder


def learn_labels(plan: Plan, held: contextlib.ExitStack) -> tuple[Run, str | None]:
    """`model.fit` by the labels of the training split: the run, and a line for people; None for it after --find_lr.

    Args:
        held: see `Plan.begin`.
    """
    import keras

    from kzoo.data import builders, pipeline, splits, transforms
    from kzoo.training import callbacks, lr_range, networks, optimization, settings

    flag, task, builder, model = plan.flag, plan.task, plan.builder, plan.model
    batch_size, train_split, val_split = flag["batch_size"], flag["train_split"], flag["val_split"]
    steps = pipeline.steps_of(builder, train_split, batch_size)

    # Optimizer and compile
    lr = flag["lr"]
    if flag["lr_base_batch"]:
        lr = optimization.scaled_lr(lr, batch_size, flag["lr_base_batch"])
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
    model.compile(optimizer, jit_compile=plan.jit, **plan.compiled)
    # inside the graph of the first step it takes as long as all of the rest
    model.optimizer.build(model.trainable_variables)

    # What the network sees: augmented to learn from, plain to be scored on
    labels = {name: task.outputs[name].label for name in model.output_names}
    plain = transforms.View(cli.shape_of(flag["size"]), labels, reads=networks.reads(model))
    augmented = settings.augmented_view(plain, task, flag, plan.colours)
    augmented = dataclasses.replace(augmented, border=resolving.border_of(flag))
    sizes = [builders.size_of(builder, split) for split in (train_split, val_split)]
    sample = splits.first(builder, train_split, sizes[1])  # as many as there are to validate on
    unaugmented, val = (
        pipeline.pipeline(builder, split, plain, batch_size=batch_size, cache=flag["cache"])
        for split in (sample, val_split)
    )

    run = plan.begin(held)
    if flag["find_lr"]:
        batches = pipeline.pipeline(
            builder, train_split, augmented, batch_size=batch_size, seed=flag["seed"], epochs=range(1)
        )
        with interruption.told(lambda: "stopped before the rates were tried; nothing is kept"):
            found = lr_range.find(model, batches)
        picture = run.save_lr_range(found, lr_range.plot(found))
        print(f"try --lr={found['suggestion']:.2g}\nwrote {picture}")
        return run, None

    keeper = callbacks.RunFolder(run, steps=steps)
    first = keeper.restore(model) if flag["resume"] else 0
    run.save_config()
    if first < flag["epochs"]:
        train = pipeline.pipeline(
            builder,
            train_split,
            augmented,
            batch_size=batch_size,
            seed=flag["seed"],
            epochs=range(first, flag["epochs"]),
            cache=flag["cache"],
        )
        progress = callbacks.Progress(steps, batch_size, flag["epochs"], first, ("loss", run.config.score))
        called = [
            callbacks.TrainScore(unaugmented),
            callbacks.PlainNames(task.main_of(model.output_names), plan.compiled["metrics"]),
            callbacks.LossWeights(task.terms),
            progress,
            keeper,
            keras.callbacks.TensorBoard(run.tensorboard, write_graph=False),
        ]
        if flag["ema"]:
            called.append(optimization.WeightAverage())
        if flag["schedule"] == "plateau":
            called.append(optimization.Plateau(keeper, lr, patience=flag["patience"], warmup=flag["warmup"]))
        with interruption.told(lambda: stopped(run, len(keeper.rows), flag["epochs"])), contextlib.closing(progress):
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
    keeper.check_best()
    return run, f"best epoch {keeper.best()['epoch']} of {flag['epochs']}"


def learn_clusters(plan: Plan, held: contextlib.ExitStack) -> tuple[Run, str]:
    """Training without labels: as `learn_labels`."""
    from kzoo.data import builders, pipeline
    from kzoo.training import clustering, networks

    flag, task, model = plan.flag, plan.task, plan.model
    examples = builders.size_of(plan.builder, flag["train_split"])
    batches = pipeline.in_order(
        plan.builder,
        flag["train_split"],
        cli.shape_of(flag["size"]),
        label=task.outputs[task.main[0]].label,
        extras=task.evaluator.extras,
        reads=networks.reads(model),
        batch_size=flag["batch_size"],
    )
    names = [field.name for field in dataclasses.fields(clustering.Plan)]
    phases = clustering.Plan(**{name: flag[name] for name in names} | {"warmup": flag["warmup"] or 0})
    clustering.check(model, examples, phases, Run.open(flag["out"]) if flag["resume"] else None)
    run = plan.begin(held)
    run.save_config()
    compiled = {name: plan.compiled[name] for name in ("loss", "loss_weights")}
    ended = clustering.train(
        model, batches, examples, plan=phases, compiled=compiled, run=run, resume=flag["resume"], jit_compile=plan.jit
    )
    return run, ended


def train(given: dict, said: set[str] | None = None) -> Run:
    """Train, or go on with, what flags ask for, and score the best network.

    Args:
        given: every flag by name; None where the recipe decides; said: those that the user gave: --resume refuses to
        change most of them.
    Returns:
        the run.
    Raises:
        UserError: a flag that does not fit, or a training that cannot go on.
    """
    with contextlib.ExitStack() as held:
        held.enter_context(interruption.told(lambda: "stopped before the training began"))
        if given["resume"] and given["out"] and Run.exists(given["out"]):
            held.enter_context(runs.continued(given["out"]))
        flag = settled(given, said)
        print(cli.command("train", *resolving.arguments(flag)), flush=True)
        frameworks.start()
        plan = planned(flag)
        learn = {"labels": learn_labels, "clusters": learn_clusters}[plan.task.learning]
        run, ended = learn(plan, held)
        if ended is not None:
            print(finished(run, ended, plan.flag))
            print(f"next: {cli.command('eval', f'--run={run.folder}', '--pictures=16')}")
            if run.reads in (("image",), ("frames",)):
                print(f"      {cli.command('predict', f'--run={run.folder}', '--images=photos', '--out=answers')}")
    return run


def finished(run: Run, ended: str, flag: dict) -> str:
    """Score the best network, write and draw; a line for people."""
    from kzoo.evaluation import drawing, report, scoring, writing

    folder = shlex.quote(str(run.folder))
    with interruption.told(lambda: f"stopped while scoring; all epochs are kept: python eval.py --run={folder}"):
        scored = scoring.score(run, split=flag["val_split"], data_dir=flag["data_dir"])
        scored = writing.keep(run, scored)
        drawing.draw(run, scored, FIGURES)
    scores = report.scores_line(scored.result.scores, run.task.evaluator.units)
    return f"{ended}; {flag['val_split']}: {scores}\nwrote {run.folder}/"


def show(given: dict, said: set[str]):
    """Print the line that trains the same without any recipe."""
    print(cli.command("train", *resolving.arguments(settled(given, said))))


def main():
    own = {flag.name: flag for flag in FLAGS.get_key_flags_for_module(sys.modules[__name__])}
    shown = own.pop("show").value
    given = {name: flag.value for name, flag in own.items()}
    said = {name for name, flag in own.items() if flag.present}
    if shown:
        show(given, said)
    else:
        train(given, said)


if __name__ == "__main__":
    define_flags()
    cli.run(main)
