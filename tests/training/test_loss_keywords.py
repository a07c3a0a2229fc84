"""Keywords of losses of a kind that the loss cannot compute with are told before it is compiled."""

import numpy as np
import pytest

from kzoo import UserError
from kzoo.losses import pose, seg
from kzoo.training import loss_keywords

SEVEN = (1, 2, 3, 4, 5, 6, 7)


@pytest.mark.parametrize(
    ("loss", "options"),
    [
        (seg.PixelCrossEntropy, {"class_weights": [1, 2]}),
        (seg.PixelCrossEntropy, {"class_weights": "1,2"}),
        (seg.PixelCrossEntropy, {"class_weights": 3}),
        (seg.PixelCrossEntropy, {"class_weights": {1: 2}}),
        (seg.PixelCrossEntropy, {"class_weights": [*SEVEN[:6], "a"]}),
        (seg.PixelCrossEntropy, {"class_weights": [*SEVEN[:6], -1]}),
        (seg.PixelCrossEntropy, {"label_smoothing": "abc"}),
        (seg.PixelCrossEntropy, {"label_smoothing": (1,)}),
        (seg.PixelCrossEntropy, {"dice": None}),
        (seg.PixelCrossEntropy, {"ignore": True}),
        (pose.HeatmapMSE, {"sigma": 0}),
        (pose.HeatmapMSE, {"sigma": [1]}),
        (pose.HeatmapMSE, {"scale": float("nan")}),
        (pose.HeatmapMSE, {"dtype": 3}),
        (pose.DiscCrossEntropy, {"radius": -1.0}),
    ],
)
def test_odd_kinds_are_one_line(loss, options):
    with pytest.raises(UserError, match=f"--loss_set.*{next(iter(options))}"):
        loss_keywords.check(loss(), options, 7)


def test_what_fits():
    loss_keywords.check(seg.PixelCrossEntropy(), {"class_weights": SEVEN, "dice": 1, "bootstrap": 0.25}, 7)
    loss_keywords.check(seg.PixelCrossEntropy(), {"class_weights": np.ones(7, "float32")}, 7)
    loss_keywords.check(pose.HeatmapMSE(), {"sigma": 1.5, "scale": 0}, 17)
