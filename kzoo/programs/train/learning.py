"""What is planned is trained: by labels, or by clustering."""

import contextlib
import dataclasses

from kzoo import cli
from kzoo.programs.train.planning import Plan
from kzoo.runs import Run
from kzoo.training import interruption, resolving


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


def stopped(run: Run, made: int, of: int, *, what: str = "epoch") -> str:
    """For people: what a training that was asked to end leaves."""
    more = f"continue with {cli.command('train', '--resume', f'--out={run.folder}')}"
    if not made:
        return f"stopped before the first {what} ended, nothing of it is kept; {more}"
    return f"stopped after {made} whole {what}{'s' if made > 1 else ''} of {of}; {more}"
