"""Run folders as nobody should find them: each call changes one file of a folder, by a seeded generator.

rng = np.random.default_rng(seed)
told = tampering.tamper(folder, rng)        # what was done, for messages
"""

import io
import json
import pathlib
import zipfile

import numpy as np

NASTY = (  # in place of any value of JSON
    None,
    True,
    -1,
    0,
    2**70,
    10**300,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "abc",
    "²",
    "a\0b",
    "../../../etc/passwd",
    "x" * 100_000,
    [],
    [None],
    [[[]]],
    {},
    {"a": {"b": None}},
    ["width=abc", "=", "no equals"],
)
MODULES = (("os", "system"), ("builtins", "eval"), ("subprocess", "Popen"), ("keras.layers", "Lambda"))


def tamper(folder, rng: np.random.Generator, file: str | None = None) -> str:
    """Change one file of a run folder, this one or one by chance. Gives what was done."""
    folder = pathlib.Path(folder)
    files = sorted(path for path in folder.iterdir() if path.suffix in KINDS and path.name != "README.md")
    path = folder / file if file else files[rng.integers(len(files))]
    kinds = (*KINDS[path.suffix], cut, noise, patched, emptied)
    kind = kinds[rng.integers(len(kinds))]
    return f"{path.name}: {kind.__name__}: {kind(path, rng)}"


# Any file


def cut(path, rng) -> str:
    content = path.read_bytes()
    length = int(rng.integers(len(content) + 1))
    path.write_bytes(content[:length])
    return f"{length} of {len(content)} bytes"


def noise(path, rng) -> str:
    path.write_bytes(rng.bytes(int(rng.integers(1, 3000))))
    return "random bytes"


def patched(path, rng) -> str:
    content = bytearray(path.read_bytes())
    places = rng.integers(len(content), size=int(rng.integers(1, 20)))
    for place in places:
        content[place] = int(rng.integers(256))
    path.write_bytes(content)
    return f"bytes {sorted(map(int, places))}"


def emptied(path, rng) -> str:
    path.write_bytes(b"")
    return "empty"


# JSON


def places(value, at=()):
    """Paths to everything in a value of JSON, itself too."""
    yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*at, key))


def chosen(value, rng) -> tuple:
    """A place; those near the top as often as those far down."""
    found = list(places(value))
    depth = rng.integers(1, 1 + max(map(len, found)))
    found = [at for at in found if len(at) == depth] or found
    return found[rng.integers(len(found))]


def other_value(path, rng) -> str:
    value = json.loads(path.read_text())
    at, new = chosen(value, rng), NASTY[rng.integers(len(NASTY))]
    if not at:
        value = new
    else:
        parent = value
        for key in at[:-1]:
            parent = parent[key]
        parent[at[-1]] = new
    path.write_text(json.dumps(value))
    return f"{at} is {repr(new)[:40]}"


def less(path, rng) -> str:
    value = json.loads(path.read_text())
    at = chosen(value, rng)
    parent = value
    for key in at[:-1]:
        parent = parent[key]
    if at:
        del parent[at[-1]]
    path.write_text(json.dumps(value))
    return f"without {at}"


def whole_other(path, rng) -> str:
    new = NASTY[rng.integers(len(NASTY))]
    path.write_text(json.dumps(new))
    return repr(new)[:40]


def deep(path, rng) -> str:
    path.write_text("[" * 100_000 + "]" * 100_000)
    return "nested deep"


# history.csv


def cell(path, rng) -> str:
    lines = [line.split(",") for line in path.read_text().splitlines()]
    row, column = rng.integers(len(lines)), rng.integers(len(lines[0]))
    new = ("", "abc", "-1", "1e999", "nan", "0.5", "9" * 5000, "\0", '"', "x" * 200_000)[rng.integers(10)]
    lines[row][column] = new
    path.write_text("\n".join(map(",".join, lines)) + "\n")
    return f"row {row}, column {column}: {new[:20]!r}"


def column(path, rng) -> str:
    lines = [line.split(",") for line in path.read_text().splitlines()]
    number = int(rng.integers(len(lines[0])))
    path.write_text("\n".join(",".join(line[:number] + line[number + 1 :]) for line in lines) + "\n")
    return f"without column {lines[0][number]}"


def rows(path, rng) -> str:
    head, *lines = path.read_text().splitlines()
    lines = [lines[i] for i in rng.integers(len(lines), size=rng.integers(8))]
    path.write_text("\n".join([head, *lines]) + "\n")
    return f"{len(lines)} rows"


# rounds.npz


def arrays(path, rng) -> str:
    with np.load(path) as found:
        kept = {name: found[name] for name in found.files}
    name = sorted(kept)[rng.integers(len(kept))]
    changes = {
        "pickled": lambda a: np.array([{"a": 1}, None], dtype=object),
        "text": lambda a: np.array(["a", "b"]),
        "turned": lambda a: a.T if a.ndim > 1 else a[:, None],
        "shorter": lambda a: a[..., :-1],
        "none": lambda a: np.zeros(0, a.dtype),
        "floats": lambda a: a.astype("float64") / 3,
        "a number": lambda a: np.array(5),
    }
    how = sorted(changes)[rng.integers(len(changes))]
    kept[name] = changes[how](kept[name])
    if rng.integers(4) == 0:
        del kept[name]
        how = "missing"
    with open(path, "wb") as file:
        np.savez(file, **kept)
    return f"{name} {how}"


# model.keras


def member(path, rng, change=None) -> str:
    """Rewrite one member of the archive, with right check sums."""
    with zipfile.ZipFile(path) as archive:
        kept = {name: archive.read(name) for name in archive.namelist()}
    name = sorted(kept)[rng.integers(len(kept))]
    done = "cut"
    if change is None:
        kept[name] = kept[name][: int(rng.integers(len(kept[name])))]
        if rng.integers(3) == 0:
            del kept[name]
            done = "missing"
    else:
        name, kept["config.json"] = "config.json", change(kept["config.json"])
        done = "changed"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for each, content in kept.items():
            archive.writestr(each, content)
    path.write_bytes(buffer.getvalue())
    return f"{name} {done}"


def config(path, rng) -> str:
    told = []

    def change(content):
        copy = path.with_name("config-for-tampering.json")
        copy.write_bytes(content)
        told.append((other_value, less)[rng.integers(2)](copy, rng))
        result = copy.read_bytes()
        copy.unlink()
        return result

    return f"{member(path, rng, change)} {told}"


def foreign(path, rng) -> str:
    """A layer that is somebody else's code; it would write a file beside the run."""
    module, name = MODULES[rng.integers(len(MODULES))]

    def change(content):
        value = json.loads(content)
        layers = value["config"]["layers"]
        layer = layers[rng.integers(1, len(layers))]
        layer.update(module=module, class_name=name, registered_name=None)
        layer["config"] = {"name": "a", "function": "lambda x: open('ran', 'w')", "command": "touch ran"}
        return json.dumps(value).encode()

    return f"{module}.{name}: {member(path, rng, change)}"


KINDS = {
    ".json": (other_value, other_value, other_value, less, less, whole_other, deep),
    ".csv": (cell, cell, column, rows),
    ".npz": (arrays, arrays, arrays),
    ".keras": (member, config, config, foreign),
    ".h5": (),
}
