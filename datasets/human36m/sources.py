"""Where Human3.6M lies in the user's folder: recordings (a video with its poses) of two layouts.

A broken source is refused by one line that names the file: ValueError, or FileNotFoundError where something is missing.
"""

import dataclasses
import itertools
import pathlib
import pickle
import re
import struct
import zipfile
import zlib

import numpy as np

from kzoo import UserError, files
from kzoo.datasets.human36m.cameras import CAMERAS, MM

SUBJECTS = {"train": (1, 5, 6, 7, 8), "val": (9, 11)}
ACTIONS = (
    *(
        "Directions",
        "Discussion",
        "Eating",
        "Greeting",
        "Phoning",
        "Photo",
        "Posing",
        "Purchases",
        "Sitting",
        "SittingDown",
        "Smoking",
    ),
    *("Waiting", "WalkDog", "Walking", "WalkTogether"),
)
SPELLINGS = {"TakingPhoto": "Photo", "WalkingDog": "WalkDog", "WalkingTogether": "WalkTogether"}
DAMAGED = {(11, "Directions", "")}  # (subject, action, trial); VideoPose3D leaves it out too, with all of its cameras
# H36M_JOINTS; the others stand still or repeat.
KEPT_OF_32 = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)
JOINT_INDICES = {32: KEPT_OF_32, 17: tuple(range(17))}

# in camera coordinates and in world coordinates, as the archives unpack and as h36m-fetch unpacks them
MONO_FOLDERS = ("MyPoseFeatures/D3_Positions_mono", "Poses_D3_Positions_mono")
WORLD_FOLDERS = ("MyPoseFeatures/D3_Positions", "Poses_D3_Positions")
ARCHIVE = "data_3d_h36m.npz"
CAMERA_FILES = ("metadata.xml", "cameras.h5")
# _ALL, a subject's range of motion, is not one.
NAME = re.compile(r"(?P<action>[A-Za-z]+)(?:[ _](?P<trial>\d+))?(?:\.(?P<camera>\d{8}))?")

# what reading a broken file raises
_BROKEN = (OSError, ValueError, LookupError, EOFError, TypeError, AttributeError, RuntimeError)
_BROKEN = (*_BROKEN, struct.error, zlib.error, zipfile.BadZipFile, pickle.UnpicklingError)


@dataclasses.dataclass(frozen=True)
class Source:
    """One place that recordings are read from.

    Attributes:
      kind: "official" or "npz".
      path: the user's path.
      root: the folder that holds S1, S5, …: `path`, or a folder in it.
      cameras: the calibration file.
    """

    kind: str
    path: str
    root: pathlib.Path
    cameras: pathlib.Path


@dataclasses.dataclass(frozen=True, eq=False)
class Recording:
    """What one camera saw of one trial.

    Attributes:
      subject, action, trial, camera: as in the release; the trial is "" or a number.
      video: the file.
      poses: the CDF file, or (n, 17 or 32, 3) world positions in metres.
      world: whether the poses are in world coordinates.
    """

    subject: int
    action: str
    trial: str
    camera: str
    video: pathlib.Path
    poses: pathlib.Path | np.ndarray
    world: bool


def find_source(path) -> Source:
    """The Human3.6M at `path`, or in a folder right in it."""
    path = files.user_path(path).resolve()
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such folder; expected one that holds Human3.6M")
    for roots in ([path], sorted(folder for folder in path.iterdir() if folder.is_dir())):
        kinds = {root: _kind(root) for root in roots}
        layouts = {root: kind for root, kind in kinds.items() if kind}
        if len(layouts) > 1:
            raise ValueError(f"{path}: more than one Human3.6M: {', '.join(map(str, layouts))}; name one of them")
        for root, kind in layouts.items():
            cameras = [root / name for name in CAMERA_FILES if (root / name).is_file()]
            if not cameras:
                raise FileNotFoundError(f"{root}: the cameras are missing; expected {' or '.join(CAMERA_FILES)} in it")
            return Source(kind, str(path), root, cameras[0])
    raise FileNotFoundError(
        f"{path}: not Human3.6M: neither S1/{MONO_FOLDERS[0]}, S1/{WORLD_FOLDERS[0]}, … nor {ARCHIVE} is in it"
    )


def find_recordings(source: Source, counts: dict) -> dict[str, list[Recording]]:
    """Recordings of each split by subject, trial and camera: one for each video of the 15 actions.

    Args:
      source: where to look.
      counts: split -> counters; "damaged_recordings" and "poses_without_video" are counted.
    Raises:
      ValueError, FileNotFoundError: a video without poses, an unknown action or camera, a split without recordings.
    """
    archive = _read_archive(source.root / ARCHIVE) if source.kind == "npz" else None
    recordings = {}
    for split, subjects in SUBJECTS.items():
        recordings[split] = []
        for subject in subjects:
            recordings[split] += _recordings(source, archive, subject, counts[split])
        if not recordings[split]:
            names = ", ".join(f"S{subject}/Videos" for subject in subjects)
            raise FileNotFoundError(
                f"{source.root}: split {split!r} is empty: no video <action>.<camera>.mp4 in {names}"
            )
    return recordings


def read_positions(recording: Recording) -> np.ndarray:
    """(n, 17, 3) float64 metres at 50 Hz, in camera or world coordinates as `recording.world` says."""
    if isinstance(recording.poses, np.ndarray):
        positions = recording.poses
        where = f"{ARCHIVE}: S{recording.subject} {recording.action} {recording.trial}".rstrip()
    else:
        positions = _read_cdf(recording.poses) / MM
        where = recording.poses
    if positions.ndim != 3 or positions.shape[1] not in JOINT_INDICES or positions.shape[2] != 3:
        raise ValueError(f"{where}: poses of shape {positions.shape}; expected (frames, 32 or 17, 3)")
    positions = positions[:, list(JOINT_INDICES[positions.shape[1]])].astype(float)
    if not np.isfinite(positions).all():
        raise ValueError(f"{where}: some positions are not finite")
    return positions


def _kind(root):
    """Which layout a folder has, or None; the release itself goes first."""
    subjects = itertools.chain.from_iterable(SUBJECTS.values())
    folders = itertools.product(subjects, (*MONO_FOLDERS, *WORLD_FOLDERS))
    if any((root / f"S{subject}" / name).is_dir() for subject, name in folders):
        return "official"
    return "npz" if (root / ARCHIVE).is_file() else None


def _recordings(source, archive, subject, counts):
    """Recordings of one subject."""
    root = source.root / f"S{subject}"
    videos = _files(root / "Videos", ".mp4")
    mono = _in_first(root, MONO_FOLDERS) if source.kind == "official" else {}
    world = _in_first(root, WORLD_FOLDERS) if source.kind == "official" else archive.get(subject, {})
    damaged = [key for key in videos if (subject, *key[:2]) in DAMAGED]
    if damaged:
        print(f"human36m: S{subject} {damaged[0][0]} is left out: the release's video of one camera is damaged")
    counts["damaged_recordings"] += len(damaged)
    filmed = {key[:2] for key in videos}
    counts["poses_without_video"] += (
        len(set(mono) - set(videos)) if mono else sum(key[:2] not in filmed for key in world)
    )
    recordings = []
    missing = []
    for key in sorted(set(videos) - set(damaged)):
        if key[2] not in CAMERAS:
            raise ValueError(
                f"{videos[key]}: camera {key[2] or 'without a number'}; "
                f"expected <action>.<camera>.mp4 of {', '.join(CAMERAS)}"
            )
        poses, is_world = (mono[key], False) if key in mono else (world.get((*key[:2], "")), True)
        if poses is None:
            missing.append(videos[key])
        else:
            recordings.append(Recording(subject, *key, videos[key], poses, is_world))
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        place = ARCHIVE if source.kind == "npz" else f"{root / MONO_FOLDERS[0]} or {WORLD_FOLDERS[0].rsplit('/')[-1]}"
        raise FileNotFoundError(f"{missing[0]}: no poses for this video{more} in {place}")
    return recordings


def _in_first(root, names):
    """Pose files of the first of the folders that is there."""
    return next((_files(root / name, ".cdf") for name in names if (root / name).is_dir()), {})


def _files(folder, suffix) -> dict[tuple[str, str, str], pathlib.Path]:
    """(action, trial, camera or "") -> file; names that do not begin with a letter, as _ALL, are passed over."""
    found = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix.lower() == suffix and path.stem[0].isalpha():
            key = _key(path.stem, path)
            if key in found:
                raise ValueError(f"{path}: {found[key].name} is the same recording")
            found[key] = path
    return found


def _key(name, where):
    """(action, trial, camera or "") of a name, the action in the protocol's spelling."""
    match = NAME.fullmatch(name)
    action = SPELLINGS.get(match["action"], match["action"]) if match else name
    if action not in ACTIONS:
        raise ValueError(
            f"{where}: unknown action {action!r}; allowed: {', '.join((*ACTIONS, *SPELLINGS))}, "
            "and a number after a space"
        )
    return action, match["trial"] or "", match["camera"] or ""


def _read_cdf(path) -> np.ndarray:
    """(n, 32, 3) millimetres of the variable Pose."""
    try:
        import cdflib
    except ImportError as error:
        raise UserError(f"{path} is a CDF file; reading it needs cdflib: pip install cdflib") from error
    try:
        return np.asarray(cdflib.CDF(path).varget("Pose"), float).reshape(-1, 32, 3)
    except _BROKEN as error:
        raise ValueError(
            f"{path}: poses cannot be read ({_one_line(error)}); expected a CDF file with Pose of 32 joints"
        ) from error


def _read_archive(path) -> dict[int, dict[tuple[str, str, str], np.ndarray]]:
    """Subject -> (action, trial, "") -> (n, 32, 3) world positions in metres.

    The file is a pickle inside an NPZ and comes from the net, so that nothing but arrays is unpickled.
    """
    try:
        with zipfile.ZipFile(path) as file, file.open("positions_3d.npy") as member:
            np.lib.format.read_magic(member)
            np.lib.format.read_array_header_1_0(member)
            content = _Arrays(member, encoding="latin1").load().item()
        poses = {}
        for subject, by_name in content.items():
            of_subject = {_key(name, subject): np.asarray(positions) for name, positions in by_name.items()}
            poses[int(subject.removeprefix("S"))] = of_subject
        return poses
    except _BROKEN as error:
        raise ValueError(f"{path}: not VideoPose3D's {ARCHIVE} ({_one_line(error)})") from error


class _Arrays(pickle.Unpickler):
    """Unpickles NumPy arrays in plain containers and refuses all else."""

    ALLOWED = frozenset({"_reconstruct", "_frombuffer", "ndarray", "dtype", "scalar"})

    def find_class(self, module, name):
        if (module, name) != ("_codecs", "encode") and not (
            module.partition(".")[0] == "numpy" and name in self.ALLOWED
        ):
            raise pickle.UnpicklingError(f"it holds {module}.{name}, which is no array")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)  # the name since NumPy 1.26


def _one_line(error) -> str:
    """The error's text without line breaks."""
    return " ".join(str(error).split()) or type(error).__name__
