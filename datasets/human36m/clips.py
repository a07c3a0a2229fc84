"""Clips of one recording: every second frame, cut to a square around the person that is fixed during the clip."""

import math
import os

import cv2
import numpy as np

from kzoo.datasets.human36m.sources import Recording, read_positions

STEP = 2  # from the release's 50 Hz to 25 Hz
MARGIN = 1.25  # side of the square over the longer side of the box around the joints
JPEG_QUALITY = 90
SLACK = 25  # frames that a video may be shorter than its poses; most are longer
COUNTS = ("recordings", "clips", "clips_after_video", "damaged_recordings", "poses_without_video")


def generate(recording: Recording, camera, config, counts):
    """Yields (first frame of the clip, example without ids) in the order of time.

    Args:
      recording: the video and its poses.
      camera: its Camera.
      config: `length` and `stride` of clips in frames at 25 Hz, `size` of the frames in pixels.
      counts: "recordings", "clips" and "clips_after_video" (whose frames the video lacks) are counted.
    Raises:
      ValueError: the video is not that of the poses and the camera. OSError: it cannot be opened.
    """
    # Where the joints are in the video, and the square of each clip.
    joints = read_positions(recording)
    if recording.world:
        joints = camera.from_world(joints)
    if not (joints[..., 2] > 0).all():
        raise ValueError(
            f"{recording.video}: its joints lie behind the camera; poses and cameras do not belong together"
        )
    pixels = camera.project(joints)
    span = STEP * (config.length - 1) + 1
    starts = range(0, len(joints) - span + 1, STEP * config.stride)
    squares = {start: _square(pixels[start : start + span : STEP]) for start in starts}

    # The clips that the video holds, in its order.
    counts["recordings"] += 1
    complete = 0
    for start, frames in _read_frames(recording.video, squares, span, len(joints), camera, config.size):
        corner, side = squares[start]
        points = joints[start : start + span : STEP]
        scale = config.size / side
        x, y = (camera.centre - corner) * scale
        complete += 1
        example = {
            "frames": frames,
            "keypoints_2d": np.float32((pixels[start : start + span : STEP] - corner) / side),
            "joints": np.float32(points - points[:, :1]),
            "root": np.float32(points[:, 0]),
            "intrinsics": np.float32([[camera.focal[0] * scale, 0, x], [0, camera.focal[1] * scale, y], [0, 0, 1]]),
        }
        yield start, example
    counts["clips"] += complete
    counts["clips_after_video"] += len(squares) - complete


def _square(pixels):
    """Corner (2,) and side, whole pixels, of the square around all joints of a clip; it may reach beyond the frame."""
    low, high = pixels.min((0, 1)), pixels.max((0, 1))
    side = max(math.ceil(MARGIN * (high - low).max()), 2)
    return np.round((low + high - side) / 2).astype(int), side


def _read_frames(path, squares, span, poses, camera, size):
    """Yields (start, JPEGs of the clip) from one pass over the video; no more than the open clips' crops are kept."""
    # OpenCV dies of a text that is not UTF-8, and takes bytes
    capture = cv2.VideoCapture(os.fsencode(path) if os.name != "nt" else str(path))
    try:
        if not capture.isOpened():
            raise OSError(f"{path}: video cannot be opened")
        _check(path, squares, camera, capture)
        clips = {}
        number = 0
        while number < poses and capture.grab():
            if number in squares:
                clips[number] = []
            due = [start for start in clips if (number - start) % STEP == 0]
            if due:
                ok, frame = capture.retrieve()
                if not ok:
                    break
            for start in due:
                clips[start].append(_crop(frame, *squares[start], size))
            if number - span + 1 in clips:
                yield number - span + 1, clips.pop(number - span + 1)
            number += 1
        if number < poses - SLACK:
            rate = capture.get(cv2.CAP_PROP_FPS)
            raise ValueError(
                f"{path}: video ends after {number} of {poses} frames; it is cut, or not at the release's 50 Hz "
                f"({rate:g} Hz)"
            )
    finally:
        capture.release()


def _check(path, squares, camera, capture):
    """Refuses a video of another size than the calibration's, and squares that are not in its frames."""
    shape = np.array([capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)])
    name = f"{shape[0]:.0f}x{shape[1]:.0f}"
    if (np.abs(camera.centre - shape / 2) > shape / 10).any():
        x, y = camera.centre
        raise ValueError(
            f"{path}: video is {name}, but the camera's centre is at ({x:.0f}, {y:.0f}); it must have its original size"
        )
    for corner, side in squares.values():
        if (corner >= shape).any() or (corner + side <= 0).any() or side > 2 * shape.max():
            raise ValueError(
                f"{path}: its joints are not in the {name} pixels of its frames; poses and cameras do not belong "
                "together"
            )


def _crop(frame, corner, side, size) -> bytes:
    """The square of a BGR frame as JPEG of `size` x `size` pixels; black outside the frame."""
    low, high = np.maximum(corner, 0), np.minimum(corner + side, frame.shape[1::-1])
    before, after = low - corner, corner + side - high
    part = frame[low[1] : high[1], low[0] : high[0]]
    part = cv2.copyMakeBorder(part, before[1], after[1], before[0], after[0], cv2.BORDER_CONSTANT)
    part = cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_LINEAR)
    return cv2.imencode(".jpg", part, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
