"""From network outputs to answers, in NumPy. Logits become probabilities first (`activate` in the task's row); all below takes those."""

import numpy as np


def softmax(logits) -> np.ndarray:
    """Over the last axis, float32."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def unflip_coords(coords, permutation):
    """Answer for the mirrored picture -> answer for the picture: x mirrored, left and right joints swapped. (B, J, 2) fractions."""
    mirrored = coords[:, permutation]
    return np.stack([1 - mirrored[..., 0], mirrored[..., 1]], axis=-1)


def unflip_maps(maps, permutation):
    """Maps (B, h, w, K) of the mirrored picture -> maps of the picture."""
    return maps[:, :, ::-1][..., permutation]


def spatial_softmax(maps) -> np.ndarray:
    """(B, h, w, J) logits -> probabilities over (h, w)."""
    batch, height, width, joints = maps.shape
    flat = softmax(maps.reshape(batch, height * width, joints).swapaxes(1, 2))
    return flat.swapaxes(1, 2).reshape(maps.shape)


def decode_pose(outputs: dict) -> dict:
    """{"coords": (B, J, 2), "confidence": (B,)}: mean over the joints of the latent map's peak probability, 1 where there are no maps."""
    maps = outputs.get("latent_heatmaps")
    confidence = np.ones(len(outputs["coords"]), "float32") if maps is None else maps.max(axis=(1, 2)).mean(axis=-1)
    return {"coords": outputs["coords"], "confidence": confidence}


def decode_seg(outputs: dict) -> dict:
    """{"classes": (B, H, W) uint8}."""
    return {"classes": outputs["logits"].argmax(axis=-1).astype("uint8")}
