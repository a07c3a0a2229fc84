"""What `import kzoo` offers for building and training networks in one's own Keras code."""

import keras

from kzoo import UserError, cli
from kzoo.tasks import TASKS
from kzoo.training import networks


@cli.in_keywords
def list_models(task: str | None = None) -> list[str]:
    """Names of the architectures of a task, by default of all of them.

    Raises:
        UserError: no such task.
    """
    tasks = TASKS.values() if task is None else [cli.pick(TASKS, task, "task")]
    return [arch for each in tasks for arch in each.archs]


@cli.in_keywords
def create_model(name: str, input_shape: tuple[int, ...], num_outputs: int, **hyperparameters):
    """A network of the zoo, not compiled.

    Args:
        name: of `list_models`; input_shape: (height, width, 3) of pictures, or (frames, height, width, 3) of clips, raw
        uint8 RGB; num_outputs: joints, classes or clusters; hyperparameters: of its function in `kzoo.models`, encoder
        and encoder_weights for instance.
    Returns:
        keras.Model with a dict of float32 outputs.
    Raises:
        UserError: no such network, a hyperparameter that it does not have, or one that does not fit.
    """
    task = next((task for task in TASKS.values() if isinstance(name, str) and name in task.archs), None)
    if task is None:
        known = list_models()
        raise UserError(f"unknown model {name!r}; allowed: {', '.join(known)}{cli.meant(name, known)}")
    sides = input_shape if isinstance(input_shape, tuple | list) else ()
    if len(sides) not in (3, 4) or sides[-1] != 3 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise UserError(
            f"input_shape must be (height, width, 3), of clips (frames, height, width, 3), got {input_shape}"
        )
    clips = bool(task.example.frames_for(name))
    if len(sides) != 3 + clips:
        form = "(frames, height, width, 3)" if clips else "(height, width, 3)"
        raise UserError(
            f"{name} reads {'clips' if clips else 'pictures'}: input_shape must be {form}, got {input_shape}"
        )
    return networks.build(task, name, tuple(input_shape[:-1]), num_outputs, **hyperparameters)


@cli.in_keywords
def compile_arguments(
    model, task: str, *, loss: str | None = None, loss_weights: dict | None = None, **loss_set
) -> dict:
    """Losses, their weights and metrics for `model.compile`, as train.py takes them.

    Args:
        model: of `create_model`; task: its task; loss: of the scored output, see that task's rows (default: the first);
        loss_weights: {output: number} in place of the task's; loss_set: keywords of the loss, class_weights for
        instance.
    Returns:
        {"loss": …, "loss_weights": …, "metrics": …}, by the names of the outputs: `model.fit` takes a data set of
        (inputs, {output: label}).
    Raises:
        UserError: no such task, loss or output, or a network of another task.
    """
    row = cli.pick(TASKS, task, "task")
    if not isinstance(model, keras.Model) or not isinstance(getattr(model, "output", None), dict):
        raise UserError(f"model must be a network of the zoo, with a dict of outputs, got {type(model).__name__}")
    if not isinstance(loss_weights, dict | None):
        raise UserError(f"loss_weights must be {{output: number}}, got {loss_weights!r}")
    if not set(row.main) & set(model.output_names):
        raise UserError(
            f"task={task!r} scores {' or '.join(row.main)}; this model emits {', '.join(model.output_names)}"
        )
    count = networks.units_of(row, model)
    return networks.compile_arguments(row, model, count, loss=loss, loss_options=loss_set, weights=loss_weights or {})
