"""The networks of task pose, see zoo.py."""

import keras
import pytest
from zoo import CHECKS, SIZE, cases, check_contract, tiny, train

from kzoo.tasks import TASKS
from kzoo.training import networks


@pytest.mark.parametrize("arch", TASKS["pose"].archs)
def test_contract(arch):
    check_contract("pose", arch)


@pytest.fixture(scope="module", params=cases("pose"))
def trained(request, eight):
    return train("pose", *request.param, {"image": eight})


@pytest.mark.parametrize("check", CHECKS)
def test_trained(trained, check, tmp_path):
    CHECKS[check](trained, tmp_path)


@pytest.mark.parametrize(
    ("arch", "rest"),
    [
        ("regression", 2048 * 34 + 34),
        # Three 4x4 transposed convolutions without bias, their BatchNorm, the score: 34.0 M in all, as Xiao et al. 2018
        # (table 2).
        ("simple_baseline", 16 * 256 * (2048 + 256 + 256) + 3 * 4 * 256 + 256 * 17 + 17),
        # A 3x3 convolution without bias on each of four maps, its BatchNorm, the score.
        ("heatmap", 9 * 128 * (256 + 512 + 1024 + 2048) + 4 * (4 * 128 + 128 * 17 + 17)),
    ],
)
def test_parameter_count_on_resnet50(arch, rest):
    """ResNet50 without top has 23,587,712 parameters (keras.applications); the rest by hand."""
    model = networks.build(TASKS["pose"], arch, SIZE, 17, encoder="resnet50", encoder_weights="none")
    assert model.count_params() == 23_587_712 + rest


@pytest.mark.slow
def test_regulariser_shapes_the_latent_maps(eight):
    """With the Jensen-Shannon term the latent maps come close to a Gaussian at the joint; without it nothing asks them
    to."""
    images, labels = eight
    keypoints, row, divergence = labels["keypoints"], TASKS["pose"], {}
    for weight in (0.0, 1.0):
        model = tiny("pose", "softargmax")
        arguments = networks.compile_arguments(
            row, model, 17, loss=None, loss_options={}, weights={"latent_heatmaps": weight}
        )
        model.compile(keras.optimizers.Adam(3e-3), jit_compile=False, **arguments)
        for _ in range(60):
            model.train_on_batch(images, {name: keypoints for name in model.output_names})
        logits = model(images, training=True)[
            "latent_heatmaps"
        ]  # batch statistics: the moving ones lag behind after 60 steps
        divergence[weight] = float(row.outputs["latent_heatmaps"].losses["js"]()(keypoints, logits))
    assert divergence[1.0] < 0.5 * divergence[0.0]
