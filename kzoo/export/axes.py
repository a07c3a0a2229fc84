"""Names of the axes of what exports take and give, for runtimes and people."""

import keras

BATCH = "batch"
AXES = {  # input or answer -> its axes behind the batch
    "image": ("height", "width", "colour"),
    "frames": ("frame", "height", "width", "colour"),
    "mask": ("height", "width"),
    "keypoints_2d": ("frame", "joint", "xy"),
    "coords": ("joint", "xy"),
    "score": ("joint",),
    "classes": ("height", "width"),
    "joints": ("frame", "joint", "xyz"),
    "position": ("xyz",),
    "rotation": ("wxyz",),
    "cluster": (),
    "assignment": ("cluster",),
    "code": ("feature",),
}


def names_of(tensor, name: str) -> list[str]:
    """Of one tensor; what the table does not know, outputs as they are, goes by number."""
    count = len(tensor.shape) - 1
    known = AXES.get(name, ())
    if len(known) != count:
        known = tuple(f"{name}_{number}" for number in range(1, 1 + count))
    return [BATCH, *known]


def of(model: keras.Model) -> dict[str, list[str]]:
    """{input or output: names of its axes} of a served network."""
    found = {tensor.name: names_of(tensor, tensor.name) for tensor in model.inputs}
    return found | {name: names_of(tensor, name) for name, tensor in model.output.items()}


def write_onnx(path, names: dict[str, list[str]]):
    """Names in place of the converter's numbers for axes without a fixed length."""
    import onnx

    model = onnx.load(path)
    for value in (*model.graph.input, *model.graph.output):
        sides = value.type.tensor_type.shape.dim
        for side, axis in zip(sides, names.get(value.name, ()), strict=False):
            if not side.HasField("dim_value"):
                side.dim_param = axis
    onnx.save(model, path)
