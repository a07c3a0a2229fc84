"""Damaged inputs, seeded: pictures, COCO annotation files and zips; and what reading them must come to.

`pictures(folder, seed, count)`, `tables(…)` and `zips(…)` write one damaged input after the other to the same place and
yield its name; `read_picture` and `read_folder` read it. Whatever is refused is refused by a ValueError or OSError of
one line; all else is a fault of the reader.
"""

import io
import json
import pathlib
import random
import zipfile

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from kzoo.datasets import pictures as reader
from kzoo.datasets.coco_subset import classes, records, sources

WIDTH, HEIGHT = 96, 80
VALUES = (
    *(None, True, False, 0, -1, 1, 2, 3, 17, 2**31, 2**32 - 1, 2**63, 2**100, -(2**64), 1e12, -1e12, 1e300, 1e-300),
    *(float("nan"), float("inf"), -float("inf"), "", "0", "1", " ", "x", "nan", "é", "\udce9", "\0", "a" * 5000),
    *([], {}, [[]], [[[]]], [None], [1, 2, 3], [[1, 2, 3, 4, 5, 6]], {"size": [HEIGHT, WIDTH], "counts": "0"}),
    *({"size": [10**9, 10**9], "counts": [10**18]}, {"counts": []}, "../../x.jpg", "/etc/passwd", "images", "a\\b.jpg"),
)
COMPRESSED = coco_mask.encode(np.asfortranarray(np.eye(HEIGHT, WIDTH, dtype=np.uint8)))["counts"].decode()
PUT_IN = (b"\0" * 40, b"\xff" * 40, b"\xff\xd8\xff", b"[" * 3000, b'"', b"NaN", b"1e999", b"9" * 400, b"\xc3", b"{}")


# what must hold


def read_picture(path) -> str | None:
    """Why a picture is refused, None where it is read."""
    try:
        image = reader.read(path)
    except (ValueError, OSError) as error:
        return one_line(error)
    assert image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8 and image.size
    return None


def read_folder(path, configs=("pose", "seg")) -> str | None:
    """Why a COCO folder or the lab's zip is refused by the last of some configurations, None where all are read."""
    why = None
    for config in configs:
        counts = dict.fromkeys(records.COUNTS[config], 0)
        try:
            source = sources.find_source(path)
            for _, example in records.generate(source, config, "train", counts):
                check_example(example)
        except (ValueError, OSError) as error:
            why = one_line(error)
    return why


def check_example(example):
    """What TFDS would not write, or a network could not read."""
    for name, value in example.items():
        if name == "image":
            assert Image.open(io.BytesIO(value)).mode in ("RGB", "L")
        elif isinstance(value, int):
            assert -(2**63) <= value < 2**63, name
        else:
            assert value.dtype == np.uint8 or np.isfinite(value).all(), name


def one_line(error) -> str:
    text = str(error)
    assert text and "\n" not in text and " at 0x" not in text and len(text) < 2000, text
    text.encode()  # any terminal can show it
    return text


# pictures


def seeds() -> dict[str, bytes]:
    """Name -> a whole picture of each format."""
    small = np.random.default_rng(0).integers(0, 255, (5, 6, 3), np.uint8)
    rgb = Image.fromarray(small).resize((64, 48), Image.Resampling.BICUBIC)
    deep = Image.fromarray(np.asarray(rgb.convert("L")).astype(np.uint16) * 257)
    turned = Image.Exif()
    turned[reader.ORIENTATION] = 6
    files = {
        "a.jpg": (rgb, "JPEG", {"quality": 90, "exif": turned}),
        "progressive.jpg": (rgb, "JPEG", {"progressive": True}),
        "cmyk.jpg": (rgb.convert("CMYK"), "JPEG", {}),
        "a.png": (rgb, "PNG", {}),
        "palette.png": (rgb.quantize(16), "PNG", {"transparency": bytes(range(16))}),
        "deep.png": (deep, "PNG", {}),
        "a.webp": (rgb, "WEBP", {"exif": turned}),
        "a.tif": (rgb, "TIFF", {}),
        "lzw.tif": (rgb, "TIFF", {"compression": "tiff_lzw"}),
        "jpeg.tif": (rgb, "TIFF", {"compression": "jpeg"}),
        "deep.tif": (deep, "TIFF", {}),
        "float.tif": (Image.fromarray(np.asarray(deep).astype(np.float32) / 65535), "TIFF", {}),
        "a.gif": (rgb, "GIF", {"save_all": True, "append_images": [rgb.rotate(90)], "duration": 50}),
        "a.bmp": (rgb, "BMP", {}),
    }
    return {name: written(*file) for name, file in files.items()}


def written(image, kind, options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Bytes changed, cut off, cut out, doubled or put in, at up to four places, more of them near the beginning."""
    content = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        if not content:
            break
        place = min(len(content) - 1, int(len(content) * rng.random() ** rng.choice((1, 3))))
        kind = rng.choice(("change", "change", "change", "cut", "out", "double", "put in", "large"))
        if kind == "change":
            content[place] = rng.randrange(256)
        elif kind == "large":
            content[place : place + 4] = rng.choice(
                (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\0\1\0\0")
            )
        elif kind == "cut":
            del content[place:]
        elif kind == "out":
            del content[place : place + rng.randint(1, 60)]
        elif kind == "double":
            content[place:place] = content[place : place + rng.randint(1, 300)]
        else:
            content[place:place] = rng.choice(PUT_IN)
    return bytes(content)


def pictures(folder, seed: int, count: int):
    """Yields (description, path) of damaged pictures."""
    rng = random.Random(seed)
    whole = seeds()
    for number in range(count):
        name = rng.choice(sorted(whole))
        path = pathlib.Path(folder) / f"damaged{pathlib.Path(name).suffix}"
        path.write_bytes(damaged(whole[name], rng))
        yield f"picture {number} of seed {seed}: {name}", path


# annotation files


FIRST = {"train": 1, "val": 11}  # number of a split's first picture


def table(first: int = FIRST["train"]) -> dict:
    """A COCO annotation file of three pictures with polygons, RLE of both kinds, a crowd."""
    numbers = range(first, first + 3)
    images = [{"id": n, "file_name": f"{n}.jpg", "width": WIDTH, "height": HEIGHT} for n in numbers]
    joints = [value for n in range(17) for value in (20 + 2 * n, 10 + 3 * n, 1 + n % 2)]
    person = {"category_id": 1, "iscrowd": 0, "bbox": [10.0, 5.0, 60.0, 70.0], "area": 4200.0, "keypoints": joints}
    polygon = [10.0, 5.0, 70.0, 5.0, 70.0, 75.0, 10.0, 75.0]
    shapes = (
        [polygon],
        [polygon, [1.0, 1.0, 5.0, 1.0, 5.0, 5.0]],
        {"size": [HEIGHT, WIDTH], "counts": [100, 200, WIDTH * HEIGHT - 300]},
        {"size": [HEIGHT, WIDTH], "counts": COMPRESSED},
        json.dumps([polygon]),
    )
    rows = [
        {**person, "id": 10 + n, "image_id": first + n % 3, "segmentation": shape, "iscrowd": int(n == 2)}
        for n, shape in enumerate(shapes)
    ]
    category = {"id": 1, "name": "person", "keypoints": list(classes.JOINTS), "skeleton": [[1, 2]]}
    return {"info": {}, "images": images, "annotations": rows, "categories": [category]}


def _places(value, place=()):
    """Yields all places in a value of lists and records."""
    yield place
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from _places(child, (*place, key))


def _nested(depth: int):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def edited(content, rng: random.Random):
    """A record, list or value taken away, doubled, or replaced, at one or two places."""
    for _ in range(rng.randint(1, 2)):
        place = rng.choice(list(_places(content))[1:] or [None])
        if place is None:
            return content
        parent = content
        for key in place[:-1]:
            parent = parent[key]
        kind = rng.choice(("value", "value", "value", "away", "double", "deep", "scale"))
        if kind == "away":
            del parent[place[-1]]
        elif kind == "double" and isinstance(parent, list):
            parent.append(parent[place[-1]])
        elif kind == "deep":
            parent[place[-1]] = _nested(rng.choice((3, 60, 400)))
        elif kind == "scale" and isinstance(parent[place[-1]], int | float):
            parent[place[-1]] *= rng.choice((-1, 0, 0.5, 10, 1e5, 1e9))
        else:
            parent[place[-1]] = rng.choice(VALUES)
    return content


def write_folder(folder):
    """A COCO folder of `table`; returns the annotation files of the training split."""
    folder = pathlib.Path(folder)
    (folder / "annotations").mkdir(parents=True)
    (folder / "images").mkdir()
    paths = []
    for split, first in FIRST.items():
        for number in range(first, first + 3):
            noise = np.random.default_rng(number).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
            Image.fromarray(noise).save(folder / "images" / f"{number}.jpg")
        for kind in ("person_keypoints", "instances"):
            path = folder / "annotations" / f"{kind}_{split}.json"
            path.write_text(json.dumps(table(first)))
            if split == "train":
                paths.append(path)
    return paths


def tables(folder, seed: int, count: int):
    """Yields (description, COCO folder) with damaged annotation files: half by structure, half by bytes."""
    rng = random.Random(seed)
    folder = pathlib.Path(folder)
    paths = write_folder(folder)
    for number in range(count):
        kind = rng.choice(("structure", "structure", "bytes"))
        content = table()
        if kind == "structure":
            content = json.dumps(edited(content, rng)).encode()
        else:
            content = damaged(json.dumps(content).encode(), rng)
        for path in paths:
            path.write_bytes(content)
        yield f"table {number} of seed {seed}, by {kind}", folder


# zips


def _archive(rng: random.Random) -> bytes:
    """The lab's archive, its members named and packed in one of several ways."""
    top = rng.choice(("coco_subset/", "", "my data/coco/", "./", "../"))
    between = rng.choice(("/", "/", "\\"))
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    noise = np.random.default_rng(1).integers(0, 255, (records.SIZE, records.SIZE, 3), np.uint8)
    picture = written(Image.fromarray(noise), "JPEG", {"quality": 30})
    joints = [value for n in range(17) for value in (20 + 2 * n, 10 + 3 * n, 1 + n % 2)]
    rows = [{"file_name": f"{n}.jpg", "keypoints": joints, "segmentation": [[9, 9, 90, 9, 90, 90]]} for n in range(2)]
    members = {}
    for split in sources.SPLITS:
        members[f"annotations/keypoints_256_{split}.json"] = json.dumps(rows).encode()
        members.update({f"{split}_256/{n}.jpg": picture for n in range(2)})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as target:
        for name, content in members.items():
            target.writestr(zipfile.ZipInfo(f"{top}{name}".replace("/", between)), content, method)
    return buffer.getvalue()


def zips(folder, seed: int, count: int):
    """Yields (description, path) of damaged zips, most damage in their directory or headers."""
    rng = random.Random(seed)
    path = pathlib.Path(folder) / "damaged.zip"
    for number in range(count):
        content = _archive(rng)
        directory = content.rindex(b"PK\1\2") if rng.random() < 0.5 else 0
        path.write_bytes(content[:directory] + damaged(content[directory:], rng))
        yield f"zip {number} of seed {seed}", path
