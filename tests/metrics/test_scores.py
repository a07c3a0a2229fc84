"""Exact scores and the choice of pictures, against third-party references and hand-made cases."""

import numpy as np
import pytest
import run_folders
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from sklearn.metrics import confusion_matrix, jaccard_score

from kzoo.evaluation import drawing, report, scoring, tables, writing
from kzoo.figures import base as figures
from kzoo.figures import pose as pose_figures
from kzoo.metrics import failures, pose_scores, seg_scores
from kzoo.nn import decoding
from kzoo.nn.geometry import flip_permutation

RNG = np.random.default_rng(0)
FLIP = [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10], [11, 12], [13, 14], [15, 16]]
JOINTS = [
    "nose",
    *(
        f"{side}_{joint}"
        for joint in ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
        for side in ("left", "right")
    ),
]


def people(count):
    """Keypoints (N, 17, 3) with v in 0..2, at least one labelled, and extras of crops in pictures of two persons
    each."""
    keypoints = np.concatenate([RNG.uniform(0.1, 0.9, (count, 17, 2)), RNG.integers(0, 3, (count, 17, 1))], axis=-1)
    keypoints[:, 0, 2] = 2
    side, corner = RNG.uniform(60, 300, count), RNG.uniform(0, 200, (count, 2))
    matrix = np.zeros((count, 3, 3))
    matrix[:, 0, 0] = matrix[:, 1, 1] = side
    matrix[:, :2, 2], matrix[:, 2, 2] = corner, 1
    extras = {
        "image_id": np.arange(count) // 2,
        "ann_id": np.arange(count),
        "area": 0.4 * side**2,
        "crop_to_image": matrix,
        "bbox": np.concatenate([corner, side[:, None], side[:, None]], axis=1),
    }
    return keypoints, extras


def test_perfect_and_hopeless_predictions_frame_the_scores():
    keypoints, extras = people(20)
    perfect = pose_scores.pose_report(
        keypoints, {"coords": keypoints[..., :2], "confidence": np.ones(20)}, extras, [str(i) for i in range(17)]
    )
    assert (
        perfect["scores"]["mpjpe"] == 0
        and perfect["scores"]["pck@0.05"] == 1
        and perfect["scores"]["AP"] == pytest.approx(1)
    )
    assert perfect["scores"]["auc"] == perfect["scores"]["OKS"] == 1
    far = {"coords": keypoints[..., :2] + 5, "confidence": np.ones(20)}
    hopeless = pose_scores.pose_report(keypoints, far, extras, [str(i) for i in range(17)])
    assert hopeless["scores"]["mpjpe"] == pytest.approx(256 * np.hypot(5, 5)) and hopeless["scores"]["AP"] == 0


def test_ap_of_one_person_per_picture_follows_the_definition_of_oks():
    """With one person a picture, AR at one threshold is the share of persons whose OKS, computed here by its formula,
    reaches it."""
    keypoints, extras = people(60)
    extras["image_id"] = np.arange(60)
    coords = keypoints[..., :2] + RNG.normal(0, 0.04, (60, 17, 2)) * RNG.uniform(0, 2, (60, 1, 1))
    found = pose_scores.coco_keypoint_scores(keypoints, {"coords": coords, "confidence": np.ones(60)}, extras)
    side = extras["crop_to_image"][:, 0, 0]
    squared = ((coords - keypoints[..., :2]) ** 2).sum(-1) * side[:, None] ** 2
    oks = np.exp(-squared / (2 * extras["area"][:, None] * (2 * failures.COCO_SIGMAS) ** 2))
    labelled = keypoints[..., 2] > 0
    oks = (oks * labelled).sum(1) / labelled.sum(1)
    assert found["AR"] == pytest.approx(np.mean([(oks >= t).mean() for t in np.arange(0.5, 0.96, 0.05)]), abs=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_oks_equals_pycocotools(seed, capsys):
    """500 persons in all, one a picture: crowds, persons without labelled joint, answers near and far."""
    rng, count = np.random.default_rng(seed), 100
    truth = np.concatenate([rng.uniform(0, 300, (count, 17, 2)), rng.integers(0, 3, (count, 17, 1))], axis=-1)
    truth[::4, :, 2] = 0
    found = truth[..., :2] + rng.normal(0, 1, (count, 17, 2)) * rng.uniform(0, 60, (count, 1, 1))
    area, bbox = rng.uniform(0, 20000, count), rng.uniform(1, 200, (count, 4))
    area[1] = 0
    people = [
        {
            "id": i + 1,
            "image_id": i,
            "category_id": 1,
            "iscrowd": int(i % 3 == 0),
            "area": area[i],
            "bbox": bbox[i].tolist(),
            "keypoints": truth[i].ravel().tolist(),
            "num_keypoints": int((truth[i, :, 2] > 0).sum()),
        }
        for i in range(count)
    ]
    answers = [
        {
            "image_id": i,
            "category_id": 1,
            "score": 1.0,
            "keypoints": np.column_stack([found[i], np.ones(17)]).ravel().tolist(),
        }
        for i in range(count)
    ]
    coco = COCO()
    coco.dataset = {
        "info": {},
        "images": [{"id": i} for i in range(count)],
        "annotations": people,
        "categories": [{"id": 1}],
    }
    coco.createIndex()
    reference = COCOeval(coco, coco.loadRes(answers), "keypoints")
    reference.evaluate()
    expected = [reference.ious[i, 1][0, 0] for i in range(count)]
    capsys.readouterr()
    np.testing.assert_allclose(pose_scores.oks(truth, found, area, bbox), expected, rtol=0, atol=1e-9)
    without_boxes = pose_scores.oks(truth, found, area)
    assert np.isnan(without_boxes[::4]).all()
    labelled = (truth[..., 2] > 0).any(axis=1)
    np.testing.assert_allclose(without_boxes[labelled], np.array(expected)[labelled], rtol=0, atol=1e-9)


def test_area_under_pck_equals_the_sum_over_thresholds():
    keypoints, _ = people(50)
    coords = keypoints[..., :2] + RNG.normal(0, 0.08, (50, 17, 2))
    errors, extent = pose_scores.joint_errors(keypoints, coords), pose_scores.person_extent(keypoints)
    labelled = np.isfinite(errors)
    thresholds = (np.arange(4000) + 0.5) / 4000 * 0.2
    curve = [(errors <= t * extent[:, None])[labelled].mean() for t in thresholds]
    assert pose_scores.area_under_pck(errors, extent) == pytest.approx(np.mean(curve), abs=1e-4)


def test_pckh():
    """Head boxes of 3 x 4 tenths of the frame: a diagonal of 128 px, a head of 76.8 px, a threshold of 38.4 px."""
    errors = np.array([[38.3, 38.5, np.nan], [1.0, 500.0, 0.0], [0.0, 0.0, 0.0]])
    boxes = np.array([[0.1, 0.1, 0.3, 0.4], [0, 0, 0.6, 0.8], [0, 0, 0, 0]])
    assert pose_scores.pckh(errors, boxes) == pytest.approx(3 / 5), "the third person has no head box"
    assert np.isnan(pose_scores.pckh(errors, np.zeros((3, 4))))
    keypoints, extras = people(3)
    perfect = {"coords": keypoints[..., :2], "confidence": np.ones(3)}
    assert pose_scores.pose_report(keypoints, perfect, {**extras, "head_box": boxes}, JOINTS)["scores"]["pckh@0.5"] == 1
    assert (
        "pckh@0.5"
        not in pose_scores.pose_report(keypoints, perfect, {**extras, "head_box": 0 * boxes}, JOINTS)["scores"]
    )


def test_boxes_are_told_from_the_labels():
    _, extras = people(5)
    side = extras["crop_to_image"][:, 0, 0]
    extras["bbox"] = np.column_stack([np.zeros((5, 2)), side / 1.25, 0.5 * side])
    assert pose_scores.boxes(extras) == "ground truth x 1.25" and pose_scores.boxes({"area": side}) == "whole picture"
    extras["bbox"][0] *= 2
    assert pose_scores.boxes(extras) == "the data set's crops"


def test_causes_of_error_are_reported():
    keypoints, extras = people(20)
    keypoints[..., 2] = 2
    coords = keypoints[..., :2].copy()
    coords[0] += 1
    coords[1] = keypoints[1, flip_permutation(17, FLIP), :2]
    assert pose_scores.mirrored_pairs(JOINTS) == [tuple(pair) for pair in FLIP]
    result = pose_scores.pose_report(keypoints, {"coords": coords, "confidence": np.ones(20)}, extras, JOINTS)
    table = result["tables"]["Share of labelled joints by cause"]
    assert list(table) == list(failures.CAUSES) and sum(table.values()) == pytest.approx(1)
    assert table["miss"] == pytest.approx(1 / 20) and table["good"] > 0.9 - 1e-9
    assert 0 < table["left-right"] <= 16 / 17 / 20
    assert [example for example, _ in result["failures"]["miss"]] == [0] and result["failures"]["left-right"][0][0] == 1


def test_unlabelled_persons_and_joints_weigh_nothing():
    keypoints, _ = people(4)
    keypoints[1, :, 2] = 0
    keypoints[2, 5, 2] = 0
    coords = keypoints[..., :2].copy()
    coords[1] += 1
    coords[2, 5] += 1
    assert np.nanmean(pose_scores.joint_errors(keypoints, coords)) == 0
    assert np.isnan(pose_scores.pose_errors(keypoints, {"coords": coords})[1])


def test_confusion_and_iou_equal_scikit_learn():
    truth, predicted = RNG.integers(0, 6, (5, 20, 20)), RNG.integers(0, 7, (5, 20, 20)).astype("uint8")
    truth = np.where(RNG.random(truth.shape) < 0.2, 255, truth).astype("uint8")
    counted = truth < 7
    ours = seg_scores.confusion_matrix(truth, predicted, 7)
    np.testing.assert_array_equal(ours, confusion_matrix(truth[counted], predicted[counted], labels=range(7)))
    iou = seg_scores.iou_per_class(ours)
    reference = jaccard_score(truth[counted], predicted[counted], labels=range(6), average=None)
    np.testing.assert_allclose(iou[:6], reference, atol=1e-9)
    assert np.isnan(iou[6]), "class 6 is absent from the truth and must not enter the mean"
    result = seg_scores.seg_report(truth, {"classes": predicted}, {}, [str(i) for i in range(7)])
    assert result["scores"]["miou"] == pytest.approx(reference.mean(), abs=1e-9)


def test_flip_averaging_of_a_mirror_symmetric_answer_is_the_answer():
    """A model that answers exactly mirrored for the mirrored picture keeps its answer under flip averaging."""
    permutation = flip_permutation(17, FLIP)
    coords = RNG.uniform(0, 1, (3, 17, 2))
    mirrored = coords[:, permutation] * [-1, 1] + [1, 0]
    np.testing.assert_allclose(decoding.unflip_coords(mirrored, permutation), coords)
    maps = RNG.uniform(0, 1, (3, 8, 8, 17))
    np.testing.assert_allclose(decoding.unflip_maps(maps[:, :, ::-1][..., permutation], permutation), maps)


def test_spatial_softmax_in_numpy_equals_the_graph():
    from kzoo.nn import geometry

    logits = RNG.normal(0, 3, (2, 5, 6, 4)).astype("float32")
    np.testing.assert_allclose(
        decoding.spatial_softmax(logits), np.asarray(geometry.spatial_softmax(logits)), atol=1e-6
    )


def test_chosen_pictures():
    errors = np.array([5.0, 1.0, np.nan, 3.0, 2.0, 4.0])
    picks = drawing.chosen(errors, 3)
    assert picks == [(1, "best"), (3, "median"), (0, "worst")]
    assert len({index for index, _ in drawing.chosen(errors, 16)}) == 5
    assert drawing.chosen(np.array([np.nan]), 3) == []


def test_figures_without_heat_maps_and_with_unlabelled_examples(tmp_path):
    images = RNG.integers(0, 255, (2, 32, 32, 3)).astype("uint8")
    keypoints, _ = people(2)
    keypoints[1, :, 2] = 0
    drawn = pose_figures.pose_figures(
        images, keypoints, {"coords": keypoints[..., :2]}, ["a", "b"], [str(i) for i in range(17)]
    )
    figures.save(drawn["poses.png"], tmp_path / "p.png")
    assert set(drawn) == {"poses.png"} and (tmp_path / "p.png").stat().st_size > 5000


def test_class_colours_are_distinct():
    colours = figures.class_colours(["background", *map(str, range(80))])
    assert len(np.unique(colours.round(2), axis=0)) == 81


def test_command_repeats_the_run():
    line = report.command(
        {
            "task": "seg",
            "set": ["widths=(8, 8)"],
            "cache": False,
            "resume": False,
            "lr": 0.1,
            "out": "x",
            "data_dir": None,
        }
    )
    assert line == "python train.py --task=seg --set='widths=(8, 8)' --nocache --lr=0.1"


def test_markdown_table():
    assert tables.markdown_table(["a", "b"], [["x", 0.123456], [1, float("nan")]]).splitlines()[2:] == [
        "| x | 0.1235 |",
        "| 1 |  |",
    ]


def test_report_tells_how_the_scores_were_made(tmp_path):
    run = run_folders.make(tmp_path / "me", "pose", "regression")
    how = {"boxes": "ground truth x 1.25", "crop": 64, "tta": "flip", "decoder": "dark"}
    decoders = {
        "dark": {"mpjpe": 1.0, "pck@0.1": 0.5, "auc": 0.1},
        "argmax": {"mpjpe": 2.0, "pck@0.1": 0.25, "auc": 0.1},
    }
    result = scoring.Result(
        scores={"mpjpe": 1.0},
        tables={},
        notes=[],
        run="me",
        flags=run.flags,
        parameters=7,
        dataset="d",
        fingerprint="f",
        split="val",
        examples=3,
        decoders=decoders,
        details={"confusion": [[1]]},
        **how,
    )
    writing.write(run, result)
    text = (run.folder / "report.md").read_text()
    assert "boxes: ground truth x 1.25, crop (px): 64, test-time augmentation: flip, decoder: dark." in text
    assert "| decoder | mpjpe | pck@0.1 |" in text and "| argmax | 2 | 0.25 |" in text
    assert {**how, "decoders": decoders, "confusion": [[1]]}.items() <= run.report.items()
    assert run.report == result.to_json() and "tile" not in run.report, "what is not there is left out"
    assert (run.folder / "README.md").read_text().startswith("# pose/regression")
    writing.write(run, result, out=tmp_path / "elsewhere")
    assert {path.name for path in (tmp_path / "elsewhere").iterdir()} == {"report.json", "report.md", "README.md"}
