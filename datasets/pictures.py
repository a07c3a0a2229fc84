"""The one reader of picture files: of data sets, and of the pictures that a network is asked about.

A picture is (H, W, 3) uint8 RGB, upright:

- EXIF's orientation is applied, all eight of them.
- Of an animation or a file of several pages the first picture counts.
- Alpha is dropped, the colours under it stay, as OpenCV reads; CMYK becomes RGB by Pillow's formula; profiles of colour
  are not applied.
- 16 bits: the upper 8, so that all 65,536 values become 256 and nothing is clipped; a camera of 12 bits in a file of 16
  is dark.
- Floats and 32-bit integers: values within 0..1 (floats) are 0..255; else values within 0..255 stay as they are; else
  those within 0..65535 are taken as 16 bits; else the picture's own least value becomes 0 and its largest 255. NaN is
  black.

No more than the header of a file is read before its size is known: `limit_pixels`. A file that cannot be read is
refused by one line: `Unreadable`, a ValueError, or OSError.
"""

import contextlib
import dataclasses
import errno
import functools
import importlib.util
import io
import logging
import os
import pathlib
import re
import threading
import unicodedata
import warnings

import numpy as np
from PIL import Image, TiffImagePlugin

MAX_PIXELS = 180_000_000  # of a picture, unless `limit_pixels` says otherwise
MAX_BYTES = 2**30  # of a picture's file
LONGEST_TOLD = 400  # letters of a path in a message
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "BMP", "DIB", "GIF", "PPM", "JPEG2000", "AVIF", "HEIF")
ENDINGS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".tif", ".tiff", ".bmp", ".dib", ".gif"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpx", ".mpo", ".avif", ".heic", ".heif", ".hif"),
)
ALLOWED = "JPEG, PNG, WebP, TIFF, BMP, GIF, PPM, JPEG 2000, AVIF, HEIC"

BAD = "empty, damaged or no picture"

ORIENTATION = 0x0112  # EXIF's tag
_TURN = Image.Transpose
UPRIGHT = {  # orientation -> from the stored picture to the upright one
    2: _TURN.FLIP_LEFT_RIGHT,
    3: _TURN.ROTATE_180,
    4: _TURN.FLIP_TOP_BOTTOM,
    5: _TURN.TRANSPOSE,
    6: _TURN.ROTATE_270,
    7: _TURN.TRANSVERSE,
    8: _TURN.ROTATE_90,
}
STORED = {**UPRIGHT, 6: _TURN.ROTATE_90, 8: _TURN.ROTATE_270}  # and back
_NEEDS = {  # what stands in a file that starts with a box "ftyp" -> what reads it
    "AVIF": (rb"avi[fs]", "Pillow with AVIF: pip install -U 'pillow>=11.3'"),
    "HEIC": (rb"hei[cxms]|hev[cx]|mif1|msf1", "pillow-heif: pip install pillow-heif"),
}

logging.getLogger("PIL").setLevel(logging.CRITICAL)  # what it says of a damaged file stands in our one line

_limit = MAX_PIXELS
_lock = threading.Lock()


class Unreadable(ValueError):
    """A picture that cannot be read, in one line, and `why`."""

    def __init__(self, path, why: str):
        super().__init__(f"{printable(path)}: picture cannot be read: {why}")
        self.why = why


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture file that was read.

    Attributes:
      image: RGB, as it is shown.
      format: Pillow's name of the file's format.
      mode: Pillow's name of the file's kind of pixels.
      content: the file's bytes.
      turned: whether EXIF turned or mirrored it.
      as_stored: whether EXIF asks for a turn that was not made, see `open_picture`.
    """

    image: Image.Image
    format: str
    mode: str
    content: bytes
    turned: bool = False
    as_stored: bool = False


def limit_pixels(number: int | None):
    """Pictures of more pixels are refused by their header from now on, in this process; None: MAX_PIXELS."""
    global _limit
    _limit = MAX_PIXELS if number is None else number


def read(path) -> np.ndarray:
    """(H, W, 3) uint8 RGB, upright."""
    return np.array(open_picture(path).image)


def open_picture(path, size: tuple[int, int] | None = None) -> Picture:
    """A picture file, upright.

    Args:
      path: of the file, on disk or in a zip.
      size: (width, height) of labels that were made for it. Where only the picture as it is stored has this size, the
        labels were made for that, and it is not turned.
    """
    picture, content, orientation = _decoded(path)
    mode, kind = picture.mode, picture.format
    with _refusing(path):
        image = _rgb(picture)
        if orientation in UPRIGHT and _orientation(picture) == orientation:  # of TIFF Pillow has turned it
            image = image.transpose(UPRIGHT[orientation])
        if orientation in UPRIGHT and size is not None and image.size != tuple(size) == image.size[::-1]:
            return Picture(image.transpose(STORED[orientation]), kind, mode, content, as_stored=True)
    return Picture(image, kind, mode, content, turned=orientation in UPRIGHT)


def open_plain(path) -> Image.Image:
    """A picture file whose values are no colours, a mask or a depth map: as it is stored, in its own mode."""
    return _decoded(path)[0]


def content_of(path, most: int = MAX_BYTES) -> bytes:
    """The bytes of a file, on disk or in a zip; folders, pipes and devices, which could block, are refused."""
    path = pathlib.Path(path) if isinstance(path, str) else path
    try:
        if not path.exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        if not path.is_file():
            raise Unreadable(path, "a folder, not a file" if path.is_dir() else "a pipe or device, not a file")
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise type(error)(error.errno, error.strerror or one_line(error), printable(path)) from error
    except Unreadable:
        raise
    except Exception as error:  # of a member of a zip: garbled, encrypted, packed by an unknown method …
        raise Unreadable(path, f"{BAD} ({one_line(error)})") from error
    if len(content) > most:
        raise Unreadable(path, f"file of more than {most // 2**20} MiB")
    return content


def one_line(error) -> str:
    """The error's text without line breaks and without the memory address of a buffer."""
    text = str(error).split(" <_io.")[0]
    return " ".join(printable(text, " \n\t\r").split())[:200] or type(error).__name__


def composed(name: str) -> str:
    """A file's name in the one Unicode form in which names are compared; macOS writes decomposed ones."""
    return unicodedata.normalize("NFC", name)


def printable(text, spared: str = " ") -> str:
    """A path or text of others as any terminal can show it, in one line, a long one without its middle."""
    text = str(text)
    if len(text) > LONGEST_TOLD:
        text = f"{text[: LONGEST_TOLD // 2]}…{text[-LONGEST_TOLD // 2 :]}"
    return "".join(c if c.isprintable() or c in spared else ascii(c)[1:-1] for c in text)


@contextlib.contextmanager
def _refusing(path):
    """Whatever goes wrong with a picture becomes one line: its decoders raise nearly all that Python has."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata; what matters is an error
            yield
    except Unreadable:
        raise
    except Exception as error:  # see above
        raise Unreadable(path, f"{BAD} ({one_line(error)})") from error


def _decoded(path) -> tuple[Image.Image, bytes, int]:
    """A picture as it is stored, the bytes of its file, and EXIF's orientation."""
    content = content_of(path)
    if not content:
        raise Unreadable(path, f"{BAD} (0 bytes)")
    with _refusing(path):
        try:
            picture = _opened(content)
        except Image.UnidentifiedImageError:
            picture = _of_floats(path, content)
        if picture is None:
            raise Unreadable(path, _unknown(content))
        _check_size(path, picture.size)
        orientation = _orientation(picture)
        picture.load()
    return picture, content, orientation


def _opened(content) -> Image.Image:
    """What Pillow reads of a file's header."""
    Image.init()
    if _kind(content) == "HEIC" and importlib.util.find_spec("pillow_heif"):
        import pillow_heif

        pillow_heif.register_heif_opener()
    formats = [name for name in FORMATS if name in Image.OPEN]
    with _lock:  # Pillow's limit is a global, and lower than what `limit_pixels` may allow
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(io.BytesIO(content), formats=formats)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _check_size(path, size):
    width, height = size
    if width * height > _limit:
        raise Unreadable(path, f"{width}x{height} pixels are more than max_pixels={_limit} in all")


def _kind(content) -> str | None:
    """AVIF or HEIC."""
    if content[4:8] != b"ftyp":
        return None
    brands = content[8 : min(int.from_bytes(content[:4]), 256)]
    return next((kind for kind, (pattern, _) in _NEEDS.items() if re.search(pattern, brands)), None)


def _unknown(content) -> str:
    """Why a file that no reader knows cannot be read."""
    kind = _kind(content)
    missing = {
        "AVIF": "AVIF" not in Image.OPEN or "AVIF_DECODE" not in _features(),
        "HEIC": importlib.util.find_spec("pillow_heif") is None,
    }
    if kind and missing[kind]:
        return f"{kind} needs {_NEEDS[kind][1]}"
    return f"{BAD}; allowed: {ALLOWED}"


@functools.cache
def _features() -> tuple[str, ...]:
    """What this Pillow was built with."""
    from PIL import features

    return ("AVIF_DECODE",) if "avif" in features.get_supported() else ()


def _orientation(picture) -> int:
    try:
        return picture.getexif().get(ORIENTATION, 1)
    except Exception:  # EXIF that is garbage says nothing
        return 1


def _rgb(picture) -> Image.Image:
    """A picture of any mode as RGB of 8 bits."""
    mode = picture.mode
    if mode == "F" or mode.startswith("I"):
        deep = mode.startswith("I;16") or picture.format == "PNG"
        return Image.fromarray(_eight_bits(np.asarray(picture), deep)).convert("RGB")
    picture.info.pop("transparency", None)
    if mode in ("RGBa", "La"):
        picture = picture.convert(mode.upper())
    return picture.convert("RGB")


def _eight_bits(values, deep: bool) -> np.ndarray:
    """Grey values or colours of another type as uint8, see above. deep: they are of 16 bits."""
    if deep:
        return (values >> 8).clip(0, 255).astype(np.uint8)
    floats = np.issubdtype(values.dtype, np.floating)
    values = np.nan_to_num(values.astype(np.float64))
    least, largest = values.min(), values.max()
    if least < 0 or largest > 65535:
        span = max(largest - least, np.finfo(float).tiny)
        values = (values / span - least / span) * 255  # divided first: the difference may be too large
    elif largest > 255:
        values = values / 256
    elif floats and largest <= 1:
        values = values * 255
    return np.rint(values).clip(0, 255).astype(np.uint8)


def _of_floats(path, content) -> Image.Image | None:
    """A TIFF of three floats a pixel, or of 64 bits: OpenCV reads them, Pillow does not; None for all other files."""
    if content[:4] not in (b"II*\0", b"MM\0*"):
        return None
    import cv2

    tags = TiffImagePlugin.ImageFileDirectory_v2(content[:8])
    file = io.BytesIO(content)
    file.seek(tags.next)
    tags.load(file)
    if set(tags.get(TiffImagePlugin.SAMPLEFORMAT, ())) != {3}:
        return None
    _check_size(path, (tags[TiffImagePlugin.IMAGEWIDTH], tags[TiffImagePlugin.IMAGELENGTH]))
    level = cv2.utils.logging.setLogLevel(0)  # what is wrong with a damaged file stands in our one line
    try:
        values = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    finally:
        cv2.utils.logging.setLogLevel(level)
    if values is None or values.ndim not in (2, 3) or values.dtype not in (np.float32, np.float64):
        return None
    colours = values[..., 2::-1] if values.ndim == 3 else values
    picture = Image.fromarray(_eight_bits(colours, False)).convert("RGB")
    picture.format = "TIFF"
    return picture
