"""U-Net's weight map: background pixels between two instances weigh more.

So the network learns to keep the instances apart.
"""

import cv2
import numpy as np

# In sigmas; what lies further from its second nearest instance gains less than w0 * exp(-24.5), nothing in float32.
REACH = 7.0


def border_weights(mask, w0: float = 10.0, sigma: float = 5.0, ignore: int = 255) -> np.ndarray:
    """1 + w0 * exp(-(d1 + d2)^2 / (2 sigma^2)) on the background, 1 elsewhere.

    d1 and d2 are the distances to the nearest and to the second nearest instance, in pixels between pixel centres.
    Instances are the 8-connected components of every class but background, so two people who touch are one. The paper's
    balance of the classes w_c is left to the loss's `class_weights`.

    Args:
        mask: (H, W) integer ids, 0 the background.
        w0: what is added where two instances nearly touch.
        sigma: decay in pixels.
        ignore: id of pixels that are neither instance nor background.
    Returns:
        (H, W) float32 in [1, 1 + w0].

    Reference: Ronneberger, Fischer and Brox, U-Net, MICCAI 2015, eq. 2.
    """
    mask = np.asarray(mask)
    nearest = np.full((2, *mask.shape), np.inf, "float32")
    margin = int(np.ceil(REACH * sigma))
    for category in np.unique(mask):
        if category in (0, ignore):
            continue
        of_category = (mask == category).astype("uint8")
        count, components, boxes, _ = cv2.connectedComponentsWithStats(of_category, connectivity=8)
        for component, (left, top, width, height, _) in zip(range(1, count), boxes[1:], strict=True):
            rows = slice(max(0, top - margin), top + height + margin)
            columns = slice(max(0, left - margin), left + width + margin)
            window = (rows, columns)
            outside = (components[window] != component).astype("uint8")
            distance = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            first, second = nearest[:, *window]
            second[...] = np.minimum(second, np.maximum(first, distance))
            first[...] = np.minimum(first, distance)
    weights = 1 + w0 * np.exp(-(nearest.sum(axis=0) ** 2) / (2 * sigma**2))
    return np.where(mask == 0, weights, 1).astype("float32")
