"""A small COCO folder of pose whose joints and pictures a test may change."""

import json
import pathlib

import numpy as np
from PIL import Image

NAMES = ("nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist "
         "right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle").split()  # fmt: skip


def write_coco(root, shift=0, count=3):
    """A COCO folder whose joints are shifted by so many pixels."""
    root = pathlib.Path(root)
    for name in ("annotations", "images"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for split, first in (("train", 1), ("val", 101)):
        ids = range(first, first + count)
        for key in ids:
            picture = np.random.default_rng(key).integers(0, 255, (90, 120, 3), np.uint8)
            Image.fromarray(picture).save(root / "images" / f"{key:03}.jpg")
        keypoints = [value for joint in range(17) for value in (20 + shift + joint, 30 + joint, 2)]
        rows = [
            {"id": key, "image_id": key, "category_id": 1, "iscrowd": 0, "bbox": [10, 10, 80, 70], "area": 5600.0,
             "segmentation": [[10, 10, 90, 10, 90, 80]], "keypoints": keypoints, "num_keypoints": 17} for key in ids
        ]  # fmt: skip
        table = {
            "images": [{"id": key, "file_name": f"{key:03}.jpg", "width": 120, "height": 90} for key in ids],
            "annotations": rows,
            "categories": [{"id": 1, "name": "person", "keypoints": NAMES, "skeleton": []}],
        }
        (root / "annotations" / f"person_keypoints_{split}.json").write_text(json.dumps(table))
    return root
