"""From the flags of a run to what is trained: data, network, losses and the configuration."""

import contextlib
import dataclasses

from kzoo import UserError, cli, runs
from kzoo.runs import Run
from kzoo.training.configuration import Configuration


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
    """Flags, `DataSet` and builder; a run that goes on must see the records that it saw, wherever they lie now."""
    from kzoo.data import builders

    source = flag["data_source"]
    if not flag["resume"]:
        builder = builders.prepare(flag["dataset"], flag["data_dir"], source, refresh=flag["refresh"])
        return flag, builders.describe(builder), builder
    run = Run.open(flag["out"])
    stored = {name: run.flags.get(name) for name in ("data_dir", "data_source")}
    builder = run.builder(None if flag["data_dir"] == stored["data_dir"] else flag["data_dir"], source)
    data_dir = str(builder.data_dir_root) if flag["data_dir"] else None
    return {**flag, "data_dir": data_dir, "data_source": source or stored["data_source"]}, run.config.dataset, builder
