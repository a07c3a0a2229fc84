"""Pose and semantics from one encoder: MapNet's regressor on the deepest map, a U-Net's upward path beside it.

The multi-task model of a lab report on localisation with semantics (after Radwan et al., VLocNet++, RA-L 2018), a
fusion of its MapNet and its segmentation network, trained with learned weights (Kendall, Gal and Cipolla, CVPR 2018,
§3.2): `kzoo.models.mapnet` and `kzoo.models.resnet34_unet` on a shared ResNet-34. The report gives neither its
decoder's widths nor the start of its weights, log sigma. Here those of rotations start at -1.5, where 1 / sigma^2 is
MapNet's factor e^3, all others at 0. Differs from the report: one picture instead of a window, since masks belong to
single pictures; the two relative terms, and their weights, are not used then. The position is regressed in units of
`spread` from `centre`, because metres far from 0 learn slowly.
Measured on 2 CPU cores (x86-64, AVX-512), seed 0, float32:
    python train.py --task=loc --arch=multitask
    room, val median 0.379 m (0.378, 0.366, 0.394 over seeds 0, 1, 2), 7.8 degrees (7.0, 8.4, 8.1), mIoU 0.806, encoder
    small, 96x128 px, 10 epochs; mean pose 0.921 m and 61.7 degrees, retrieval 0.471 m and 9.6 degrees; 7.7 CPU-min
"""

import keras

from kzoo.nn.camera_heads import log_quaternion_pose, regressor
from kzoo.nn.encoders import encode
from kzoo.nn.layers import LearnedWeights, head, named, pooling, upsample_to
from kzoo.nn.upsampling import upward_path


def multitask(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    *,
    encoder: str = "resnet34",
    encoder_weights: str = "none",
    init: str = "he_normal",
    norm: str = "batch",
    scaling: dict | None = None,
    classes: int = 10,
    features: int = 2048,
    dropout: float = 0.5,
    pool: str = "average",
    widths: tuple[int, ...] = (256, 128, 64, 32, 16),
    upsampling: str = "bilinear",
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0),
    spread: float = 1.0,
    initial_weights: tuple[float, float, float, float] = (0.0, -1.5, 0.0, -1.5),
    initial_semantics: float = 0.0,
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (H, W, 3) of a uint8 RGB picture, H and W multiples of 32.
        num_outputs: not used, a pose has 7 numbers.
        encoder, encoder_weights, init, norm, scaling: see `kzoo.nn.encoders.encode`; `norm` also of the decoder.
        classes: C of the segmentation; DeepLoc has 10.
        features, dropout: units and rate of the dense layer before the pose's heads.
        pool: what becomes of the encoder's last map for the pose: "average" over its cells, or "flatten", which keeps
            where features are.
        widths, upsampling: of the decoder, see `kzoo.models.resnet34_unet`.
        centre, spread: of the training set's positions, mean (3 numbers) and standard deviation in metres.
        initial_weights: where the learned weights of the loss start: trans_abs, rot_abs, trans_rel, rot_rel.
        initial_semantics: where that of the semantics starts.
    Returns:
        model with input "image" and outputs {"position": (B, 3) float32 metres, "rotation": (B, 4) float32 unit
        quaternion w, x, y, z with w >= 0, camera to world, "logits": (B, H, W, C) float32; for training "pose_terms":
        (B, 10), position, logarithm of the quaternion, the four learned weights, and "logits_terms": (B, H, W, C + 1),
        the logits and the learned weight of the semantics}.
    Raises:
        ValueError: a window of frames, or numbers of another shape or range.
    """
    if len(input_shape) != 3:
        raise ValueError(f"input_shape must be (H, W, 3): masks belong to single pictures, got {input_shape}")
    if classes < 1 or not 1 <= len(widths) <= 5:
        raise ValueError(f"classes must be 1 or more and widths 1 to 5 numbers, got {classes} and {widths}")
    image = keras.Input(input_shape, dtype="uint8", name="image")
    maps = encode(image, encoder, encoder_weights, init=init, norm=norm, scaling=scaling)
    # The pose, from the deepest map.
    x = regressor(pooling(pool)(maps[-1]), features, dropout, init=init)
    outputs = log_quaternion_pose(x, centre=centre, spread=spread, initial_weights=initial_weights)

    # The semantics, from all maps.
    y = upward_path(maps, widths, skips=True, upsampling=upsampling, init=init, norm=norm)
    logits = upsample_to(head(y, classes, name="score"), input_shape[:2], name="full_size")
    logits_terms = LearnedWeights([initial_semantics], name="semantics_weight")(logits)
    outputs.update(logits=logits, logits_terms=logits_terms)
    return keras.Model(image, named(outputs), name="multitask")
