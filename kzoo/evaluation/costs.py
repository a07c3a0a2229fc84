"""What a trained network costs: parameters, FLOPs, milliseconds a picture, memory. In a process of its own, so that
nothing else counts.

- flops: of one forward pass for one example, by TensorFlow's profiler on the frozen graph: a multiply-add counts as
  two. Element-wise operations count where the profiler knows them; null where a loop (LSTM, GRU) hides how often its
  body runs.
- ms_per_example: median of at least 10 passes through the compiled graph without XLA, after a warm-up, over the batch
  size; from the input in memory to the answer in memory.
- peak_memory_mib: the most that this process has held (VmHWM or ru_maxrss), with Python, TensorFlow and the loading of
  the weights.
- network_memory_mib: weights, and what the passes of the largest batch held on top of what was held before them: of the
  processor's memory where Linux tells it (/proc), of the accelerator's where there is one.
"""

import gc
import json
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import time

from kzoo.cli import frameworks
from kzoo.evaluation import child
from kzoo.runs import Run

# TensorFlow and Keras are imported inside functions: reports of many runs read this file and measure nothing.
PASSES, SECONDS = 10, 1.0  # at least, of each batch size
WARM_UPS = 3
LOOPS = ("While", "StatelessWhile", "Enter", "LoopCond")
MIB = 2**20


def flops(model) -> int | None:
    """Of one forward pass for one example, see above; None for networks with loops."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    function = tf.function(lambda inputs: model(inputs, training=False))
    frozen = convert_variables_to_constants_v2(function.get_concrete_function(_inputs(model, 1)))
    if any(operation.type in LOOPS for operation in frozen.graph.get_operations()):
        return None
    profiler = tf.compat.v1.profiler
    options = profiler.ProfileOptionBuilder(profiler.ProfileOptionBuilder.float_operation()).with_empty_output().build()
    with frameworks.quiet():  # it calls what TensorFlow itself deprecates
        return int(profiler.profile(frozen.graph, options=options).total_float_ops)


def _inputs(model, batch: int):
    """Zeros of the shape that the network reads."""
    import keras
    import tensorflow as tf

    return keras.tree.map_structure(lambda tensor: tf.zeros((batch, *tensor.shape[1:]), tensor.dtype), model.input)


def milliseconds(model, batch: int) -> float:
    """Median time of one pass of `batch` examples, over `batch`."""
    import keras
    import tensorflow as tf

    function = tf.function(lambda inputs: model(inputs, training=False))
    inputs = _inputs(model, batch)
    taken = []
    start = 0.0
    while len(taken) < WARM_UPS + PASSES or time.perf_counter() - start < SECONDS:
        begin = time.perf_counter()
        keras.tree.map_structure(lambda tensor: tensor.numpy(), function(inputs))
        taken.append(time.perf_counter() - begin)
        start = start or time.perf_counter()  # after the first, which compiles
    return 1000 * statistics.median(taken[WARM_UPS:]) / batch


def threads() -> int:
    """Threads that runtimes compute with: those of TensorFlow's single operations."""
    import tensorflow as tf

    chosen = tf.config.threading.get_intra_op_parallelism_threads()
    return chosen or int(os.environ.get("TF_NUM_INTRAOP_THREADS") or 0) or _cores()


def _cores() -> int:
    """Those that this process may use, where the system tells it."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def resident() -> tuple[float, float] | None:
    """What this process holds now, and the most since `forget_peak`, in MiB; None where the system does not tell."""
    try:
        lines = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
        return tuple(float(lines[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    except (OSError, KeyError, ValueError):
        return None


def forget_peak() -> bool:
    """Let the peak of `resident` begin anew; False where the system does not."""
    try:
        pathlib.Path("/proc/self/clear_refs").write_text("5")  # proc(5)
    except OSError:
        return False
    return True


def most_held() -> float:
    """The most that this process has held, in MiB. Where Linux tells it (/proc): ru_maxrss also counts what started the
    process held."""
    if memory := resident():
        return memory[1]
    unit = 1 if platform.system() == "Darwin" else 1024  # bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MIB


def measure(run: Run, batch_sizes=(1, 8)) -> dict:
    """Costs of a run's network, in this process; for numbers that mean something call it in a fresh one, as
    `in_own_process` does.

    Args:
        run: with a trained network; batch_sizes: to be timed.
    Returns:
        {"parameters", "flops", "ms_per_example": {batch size: number}, "peak_memory_mib", "network_memory_mib",
        "device", "threads", "versions"}; None for what cannot be told.
    """
    import keras
    import tensorflow as tf

    model = run.model_at(run.shape)
    accelerators = tf.config.list_logical_devices("GPU")
    gc.collect()
    loaded = most_held()
    times, held = _times_and_memory(model, batch_sizes, on_accelerator=bool(accelerators))
    return {
        "parameters": model.count_params(),
        "flops": flops(run.portable_model()),  # the same network without loops
        "ms_per_example": times,
        "peak_memory_mib": max(loaded, most_held()),  # `forget_peak` makes it begin anew
        "network_memory_mib": held,
        "device": accelerators[0].name if accelerators else f"CPU, {platform.machine()}",
        "threads": threads(),
        "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
    }


def _times_and_memory(model, batch_sizes, *, on_accelerator: bool) -> tuple[dict[str, float], float | None]:
    """{batch size: milliseconds}, and what weights and passes held in MiB, None where it cannot be told."""
    import tensorflow as tf

    weights = sum(variable.value.numpy().nbytes for variable in model.variables) / MIB
    is_forgotten = forget_peak()
    before = resident()
    times = {str(batch): milliseconds(model, batch) for batch in batch_sizes}
    if on_accelerator:
        return times, tf.config.experimental.get_memory_info("GPU:0")["peak"] / MIB
    if is_forgotten and before:
        return times, weights + max(0.0, resident()[1] - before[0])
    return times, None


def in_own_process(folder, timeout: float = 900.0) -> dict:
    """`measure` of a run folder in a process that does nothing else; {"error": one line} where it fails."""
    command = [sys.executable, "-m", "kzoo.programs.costs", str(folder)]
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        printed = child.output(command, timeout=timeout, environment=environment)
    except child.Failed as failure:
        return {"error": str(failure)}
    except subprocess.TimeoutExpired:
        return {"error": f"not measured within {timeout:g} seconds"}
    return json.loads(printed.splitlines()[-1])
