"""The one reader of pictures: what people have, what is refused, and that records hold what TensorFlow can read."""

import io
import os
import resource
import subprocess
import sys
import types
import zipfile

import cv2
import mutations
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kzoo import UserError
from kzoo.data import image_io
from kzoo.datasets import encoded, pictures

SIZE = (64, 48)


def photo() -> Image.Image:
    """Smooth, and no two of its eight turns are alike."""
    small = np.random.default_rng(0).integers(0, 255, (5, 6, 3), np.uint8)
    return Image.fromarray(small).resize(SIZE, Image.Resampling.BICUBIC)


RGB = np.asarray(photo())
GREY = np.asarray(photo().convert("L"))
ALPHA = photo()
ALPHA.putalpha(Image.fromarray(GREY))


def saved(path, image, **options):
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **options)
    return path


def with_orientation(orientation) -> Image.Exif:
    exif = Image.Exif()
    exif[pictures.ORIENTATION] = orientation
    return exif


# what is read


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_upright(tmp_path, ending, orientation):
    """Stored as a phone stores it; OpenCV, where it knows EXIF of the format, sees the same."""
    stored = photo() if orientation == 1 else photo().transpose(pictures.STORED[orientation])
    path = saved(tmp_path / f"a.{ending}", stored, exif=with_orientation(orientation), **QUALITY.get(ending, {}))
    seen = pictures.read(path)
    assert seen.shape == RGB.shape and abs(seen.astype(int) - RGB).mean() < 3
    if ending in ("jpg", "png"):
        np.testing.assert_array_equal(seen, cv2.imread(str(path))[..., ::-1])


QUALITY = {"jpg": {"quality": 95}, "webp": {"lossless": True}}


@pytest.mark.parametrize(
    "exif", [with_orientation(9), with_orientation(0), b"Exif\0\0garbage", b"Exif\0\0MM\0*\xff\xff"]
)
def test_exif_that_says_nothing_turns_nothing(tmp_path, exif):
    np.testing.assert_array_equal(pictures.read(saved(tmp_path / "a.png", photo(), exif=exif)), RGB)


# name -> (ending, picture, options of Pillow): OpenCV reads the same values
ORDINARY = {
    "JPEG": ("jpg", photo(), {}),
    "progressive JPEG": ("jpg", photo(), {"progressive": True, "quality": 50}),
    "JPEG of full colours": ("jpg", photo(), {"subsampling": 0}),
    "grey JPEG": ("jpg", GREY, {}),
    "JFIF": ("jfif", photo(), {"format": "JPEG"}),
    "PNG": ("png", photo(), {}),
    "grey PNG": ("png", GREY, {}),
    "PNG of one bit": ("png", photo().convert("1"), {}),
    "palette": ("png", photo().quantize(32), {}),
    "palette with transparency": ("png", photo().quantize(32), {"transparency": bytes(range(0, 256, 8))}),
    "alpha": ("png", ALPHA, {}),
    "grey with alpha": ("png", ALPHA.convert("LA"), {}),
    "16 bits": ("png", GREY.astype(np.uint16) * 257, {}),
    "16 bits, TIFF": ("tif", GREY.astype(np.uint16) * 257, {}),
    "WebP": ("webp", photo(), {}),
    "BMP": ("bmp", photo(), {}),
    "TIFF": ("tif", photo(), {"compression": "tiff_lzw"}),
    "PPM": ("ppm", photo(), {}),
    "GIF": ("gif", photo(), {}),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_the_same_values_as_opencv(tmp_path, name):
    ending, image, options = ORDINARY[name]
    path = saved(tmp_path / f"a.{ending}", image, **options)
    np.testing.assert_array_equal(pictures.read(path), cv2.imread(str(path))[..., ::-1])


def test_cmyk(tmp_path):
    path = saved(tmp_path / "a.jpg", photo().convert("CMYK"), quality=95)
    assert abs(pictures.read(path).astype(int) - RGB).mean() < 4


def test_the_first_picture_of_an_animation(tmp_path):
    for ending in ("gif", "webp", "png", "tif"):
        more = {"save_all": True, "append_images": [photo().rotate(180)]}
        path = saved(tmp_path / f"a.{ending}", photo(), **more, **QUALITY.get(ending, {}))
        assert abs(pictures.read(path).astype(int) - RGB).mean() < 8  # 256 colours, dithered


# values as a TIFF of floats or integers -> grey values
DEEP = {
    "0..1": (GREY.astype(np.float32) / 255, GREY),
    "0..255": (GREY.astype(np.float32), GREY),
    "0..255, 32 bits": (GREY.astype(np.int32), GREY),
    "0..65535": (GREY.astype(np.float32) * 256, GREY),
    "0..65535, 32 bits": (GREY.astype(np.int32) * 256, GREY),
    "below 0": (np.float32([[-1, 0, 1]]), [[0, 128, 255]]),
    "very large": (np.float32([[-3e38, 0, 3e38]]), [[0, 128, 255]]),
    "NaN": (np.float32([[np.nan, 0, 1]]), [[0, 0, 255]]),
    "one value": (np.float32([[0.5, 0.5]]), [[128, 128]]),
}


@pytest.mark.parametrize("name", DEEP)
def test_floats_and_large_integers(tmp_path, name):
    values, expected = DEEP[name]
    seen = pictures.read(saved(tmp_path / "a.tif", values))
    np.testing.assert_allclose(seen, np.repeat(np.array(expected)[..., None], 3, -1), atol=1)


def test_three_floats_a_pixel(tmp_path):
    cv2.imwrite(str(tmp_path / "a.tiff"), RGB[..., ::-1].astype(np.float32) / 255)
    np.testing.assert_array_equal(pictures.read(tmp_path / "a.tiff"), RGB)


def test_floats_of_64_bits(tmp_path):
    grey = RGB[..., 0]
    cv2.imwrite(str(tmp_path / "a.tiff"), grey.astype(np.float64) / 255)
    np.testing.assert_array_equal(pictures.read(tmp_path / "a.tiff"), np.repeat(grey[..., None], 3, -1))


def test_sixteen_bits_of_colour(tmp_path):
    for ending in ("png", "tiff"):
        cv2.imwrite(str(tmp_path / f"a.{ending}"), RGB[..., ::-1].astype(np.uint16) * 257)
        np.testing.assert_array_equal(pictures.read(tmp_path / f"a.{ending}"), RGB)


def test_a_member_of_a_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.write(saved(tmp_path / "a.png", photo()), "b/a.png")
    np.testing.assert_array_equal(pictures.read(zipfile.Path(tmp_path / "a.zip") / "b" / "a.png"), RGB)


# what is refused

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)


def cut(content):
    return content[: len(content) // 2]


BROKEN = {  # name -> (content of the file, words of the line)
    "empty": (b"", "cannot be read: empty"),
    "text": (b"<html>not found</html>", "no picture; allowed: JPEG, PNG"),
    "cut JPEG": (cut(mutations.written(photo(), "JPEG", {})), "cannot be read"),
    "cut PNG": (cut(mutations.written(photo(), "PNG", {})), "cannot be read"),
    "cut WebP": (cut(mutations.written(photo(), "WEBP", {})), "cannot be read"),
    "a header alone": (b"\xff\xd8\xff\xe0", "cannot be read"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no picture"),
    "line breaks": (b"\n\n\n", "no picture"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_one_line_for_what_cannot_be_read(tmp_path, name):
    content, words = BROKEN[name]
    path = tmp_path / "a\n b.jpg"
    path.write_bytes(content)
    with pytest.raises(pictures.Unreadable, match=words) as caught:
        pictures.read(path)
    assert "\n" not in str(caught.value) and "a\\n b.jpg" in str(caught.value)
    with pytest.raises(UserError, match=words):
        image_io.read_picture(path)


def test_heic_names_what_reads_it(tmp_path, monkeypatch):
    path = tmp_path / "IMG_1.HEIC"
    path.write_bytes(HEIC)
    monkeypatch.setattr(pictures.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="HEIC needs pillow-heif: pip install pillow-heif"):
        image_io.read_picture(path)


def test_heic_is_read_by_pillow_heif(tmp_path, monkeypatch):
    """A stand-in for pillow-heif, which registers itself with Pillow as the real one does."""

    def opened(fp, filename):
        image = Image.open(io.BytesIO(mutations.written(photo(), "PNG", {})))
        image.format = "HEIF"
        return image

    def register():
        Image.register_open("HEIF", opened, lambda prefix: prefix[4:12] == b"ftypheic")

    path = tmp_path / "IMG_1.HEIC"
    path.write_bytes(HEIC)
    monkeypatch.setitem(sys.modules, "pillow_heif", types.SimpleNamespace(register_heif_opener=register))
    monkeypatch.setattr(pictures.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    monkeypatch.setattr(Image, "OPEN", dict(Image.OPEN))
    np.testing.assert_array_equal(pictures.read(path), RGB)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_folders_and_pipes_do_not_block(tmp_path, make):
    make(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="not a file"):
        pictures.read(tmp_path / "a.jpg")
    with pytest.raises(FileNotFoundError):
        pictures.read(tmp_path / "b.jpg")
    with pytest.raises(UserError, match="cannot read .*b.jpg: No such file"):
        image_io.read_picture(tmp_path / "b.jpg")
    with pytest.raises(ValueError, match="device, not a file"):
        pictures.read("/dev/zero")


def test_bombs_are_refused_by_their_header(tmp_path):
    """In a process that has no memory for them: a PNG, and a JPEG of some bytes whose header tells 3 GB."""
    Image.new("L", (30000, 30000)).save(tmp_path / "a.png")
    small = bytearray(mutations.written(Image.new("RGB", (64, 64)), "JPEG", {}))
    header = small.index(b"\xff\xc0") + 5
    small[header : header + 4] = b"\x7f\xff\x7f\xff"
    (tmp_path / "a.jpg").write_bytes(small)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, size in (("a.png", "30000x30000"), ("a.jpg", "32767x32767")):
        with pytest.raises(ValueError, match=f"{size} pixels are more than max_pixels=180000000 in all"):
            pictures.read(tmp_path / name)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def test_the_limit_is_a_setting(tmp_path):
    path = saved(tmp_path / "a.png", photo())
    try:
        pictures.limit_pixels(64 * 48 - 1)
        with pytest.raises(UserError, match="64x48 pixels are more than max_pixels=3071"):
            image_io.read_picture(path)
        pictures.limit_pixels(64 * 48)
        assert pictures.read(path).shape == RGB.shape
        pictures.limit_pixels(10**12)  # more than Pillow allows
        header = bytearray(path.read_bytes())
        header[16:24] = (30000).to_bytes(4) * 2
        path.write_bytes(header)
        with pytest.raises(ValueError, match="damaged"):  # its size was not the reason
            pictures.read(path)
    finally:
        pictures.limit_pixels(None)


def test_the_reader_starts_no_framework():
    code = "import sys, kzoo.datasets.pictures; print([n for n in ('tensorflow', 'keras', 'cv2') if n in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ended.stdout == "[]\n"


# what records hold


def counts():
    return {"converted_pictures": 0, "turned_pictures": 0}


def test_bytes_are_kept_where_tensorflow_reads_the_same_picture(tmp_path):
    for ending, formats in (("jpg", ("JPEG",)), ("png", ("JPEG", "PNG"))):
        path = saved(tmp_path / f"a.{ending}", photo())
        counted = counts()
        assert encoded.own_bytes(pictures.open_picture(path), formats, counted) == path.read_bytes()
        assert counted == counts()


def test_bytes_of_turned_pictures_are_not_kept(tmp_path):
    path = saved(tmp_path / "a.jpg", photo(), exif=with_orientation(3))
    counted = counts()
    assert encoded.own_bytes(pictures.open_picture(path), ("JPEG",), counted) is None
    assert counted == {"converted_pictures": 1, "turned_pictures": 1}


@pytest.mark.parametrize("kind", ["lossless", "another picture"])
def test_bytes_that_tensorflow_does_not_read_are_not_kept(tmp_path, kind):
    """As with lossless JPEG, which Pillow decodes and TensorFlow refuses: bytes and picture of different decoders."""
    path = saved(tmp_path / "a.jpg", photo())
    picture = pictures.open_picture(path)
    content = b"\xff\xd8\xff\xc3" + path.read_bytes()[4:] if kind == "lossless" else path.read_bytes()
    image = picture.image if kind == "lossless" else picture.image.rotate(180)
    counted = counts()
    odd = pictures.Picture(image, picture.format, picture.mode, content)
    assert encoded.own_bytes(odd, ("JPEG",), counted) is None and counted["converted_pictures"] == 1
    again = tf.io.decode_jpeg(encoded.jpeg(image, quality=95)).numpy()
    assert abs(again.astype(int) - np.asarray(image)).mean() < 3


# damaged at random


@pytest.mark.parametrize("seed", range(2))
def test_mutated_pictures(tmp_path, seed):
    told = [mutations.read_picture(path) for _, path in mutations.pictures(tmp_path, seed, 150)]
    assert 20 < sum(why is not None for why in told) < 140
