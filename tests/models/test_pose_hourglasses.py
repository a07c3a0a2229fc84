"""Hourglasses and what grew out of them: parameters counted by hand, attention, part maps and initialiser against
NumPy."""

import keras
import numpy as np
import pytest
from scipy import signal

from kzoo.models.compositional import compositional
from kzoo.models.hourglass import hourglass
from kzoo.models.hourglass_attention import _attention, hourglass_attention
from kzoo.models.pyranet import pyranet
from kzoo.nn import geometry, hierarchy
from kzoo.nn.initializers import MultiBranch

PAIRS = [(left, left + 1) for left in range(1, 17, 2)]  # COCO's joints that a mirror swaps


def rng():
    return np.random.default_rng(0)


# Parameters, from the layers that the papers and released networks list. Each line of a block is one convolution with
# its BatchNorm.


def conv(side, k_in, k_out, bias=1):
    return side * side * k_in * k_out + bias * k_out


def norm(k):
    return 4 * k  # scale, shift, moving mean, moving variance


def conv_norm(side, k_in, k_out):
    return conv(side, k_in, k_out, bias=0) + norm(k_out)


def norm_conv(side, k_in, k_out):
    return norm(k_in) + conv(side, k_in, k_out)


def unit(k_in, k):
    """Bottleneck: 1x1, 3x3, 1x1; bare 1x1 where the filters differ."""
    return (
        norm_conv(1, k_in, k // 2)
        + norm_conv(3, k // 2, k // 2)
        + norm_conv(1, k // 2, k)
        + (conv(1, k_in, k) if k_in != k else 0)
    )


def stem(w):
    return conv_norm(7, 3, w // 4) + unit(w // 4, w // 2) + unit(w // 2, w // 2) + unit(w // 2, w)


def count_hourglass(stacks, w=256, joints=16):
    stack = (3 * 4 + 1) * unit(w, w) + unit(w, w) + conv_norm(1, w, w) + conv(1, w, joints)
    return stem(w) + stacks * stack + (stacks - 1) * (conv(1, w, w) + conv(1, joints, w))


def count_attention(stacks, w=256, joints=16):
    stride1_stem = (
        conv_norm(7, 3, w // 4)
        + 2 * unit(w // 4, w // 4)
        + unit(w // 4, w // 2)
        + 2 * unit(w // 2, w // 2)
        + unit(w // 2, w)
    )
    crf = conv(11, 1, 1)
    hru = unit(w, w) + 2 * norm_conv(3, w, w)
    nested = 13 * unit(w, w) + (2 + 1) * hru  # two at 1/1, one at 1/2 of the map
    scales = 4 * (norm_conv(3, w, 1) + crf)

    def stack(f, parts):
        lines = conv_norm(1, w, f) + conv_norm(1, f, f) + conv(3, f, 1) + crf + conv(1, f, joints)
        return nested + scales + lines + (joints * (conv(3, f, 1) + crf) if parts else 0)

    following = conv(1, joints, w) + conv_norm(1, w, w)
    lower, upper = stacks // 2, stacks - stacks // 2 - 1
    return (
        stride1_stem + lower * stack(w, False) + upper * stack(w, True) + stack(2 * w, True) + (stacks - 1) * following
    )


def count_pyranet(stacks, w=256, joints=16, scales=4):
    def pyramid(k_in, k, skip=False, preact=True):
        d, before = k // 9, norm(k_in) if preact else 0
        a = before + conv(1, k_in, k // 2) + norm_conv(3, k // 2, k // 2)
        b = before + conv(1, k_in, d) + norm(d) + scales * conv(3, d, d) + norm_conv(1, d, k // 2)
        return a + b + norm_conv(1, k // 2, k) + (norm_conv(1, k_in, k) if skip or k_in != k else 0)

    skip = norm_conv(1, w, w)
    pyramids = (
        3 * pyramid(w, w) + 2 * pyramid(w, w) + 2 * pyramid(w, w, skip=True)
    )  # levels 2-4 beside, 3-4 down, 3-4 up
    plain = (
        unit(w, w) + 2 * unit(w, w) + unit(w, w) + 2 * (unit(w, w) + skip)
    )  # level 1 beside, 1-2 down, bottom, 1-2 up
    stack = pyramids + plain + norm_conv(1, w, w) + norm(w) + conv(1, w, joints)
    first = (
        conv_norm(7, 3, w // 4) + pyramid(w // 4, w // 2, preact=False) + pyramid(w // 2, w // 2) + pyramid(w // 2, w)
    )
    return first + stacks * stack + (stacks - 1) * (conv(1, w, w) + conv(1, joints, w))


def count_compositional(w=256, parts=(17, 14, 6, 14, 17)):
    modules = len(parts) * (13 * unit(w, w) + conv_norm(1, w, w)) + sum(conv(1, w, p) for p in parts)
    back = sum(conv(1, w, w) + conv(1, p, w) for p in parts[:-1])
    return stem(w) + modules + back + unit(w, w - 14) + unit(w, w - 17)


def built(arch, **options):
    joints = 17 if arch is compositional else 16  # the papers' MPII has 16
    init = {} if arch is pyranet else {"init": "zeros"}  # quicker
    return arch((64, 64, 3), joints, **init, **options).count_params()


@pytest.mark.parametrize(("arch", "count"), [(hourglass, count_hourglass), (pyranet, count_pyranet)])
def test_parameters_per_stack(arch, count):
    """One and two stacks as built; every further stack adds the same, which gives the papers' eight."""
    one, two = built(arch, stacks=1), built(arch, stacks=2)
    assert (one, two) == (count(1), count(2))
    assert one + 7 * (two - one) == count(8)


def test_pyranet_is_as_large_as_published(monkeypatch):
    """28.1 million without the moving averages: tab. 3 of Wireless Communications and Mobile Computing 2021,
    1333250."""
    monkeypatch.setitem(globals(), "norm", lambda k: 2 * k)
    assert round(count_pyranet(8) / 1e6, 1) == 28.1


def test_parameters_of_attention():
    """One, two and three stacks have every kind: lower, upper, last."""
    one, two, three = (built(hourglass_attention, stacks=stacks) for stacks in (1, 2, 3))
    assert (one, two, three) == tuple(map(count_attention, (1, 2, 3)))
    assert one + 4 * (two - one) + 3 * (three - two) == count_attention(8)


def test_parameters_of_compositional():
    assert built(compositional) == count_compositional()


# Shapes


@pytest.mark.parametrize(
    ("arch", "options", "shapes"),
    [
        (
            hourglass_attention,
            dict(stacks=3, width=16, depth=3, kernel=5),
            {"heatmaps": (16, 24, 17), "aux_heatmaps": (2, 16, 24, 17), "attention": (16, 24, 3)},
        ),
        (hourglass_attention, dict(stacks=1, width=16, depth=1), {"heatmaps": (16, 24, 17), "attention": (16, 24, 1)}),
        (pyranet, dict(stacks=2, width=16, depth=3), {"heatmaps": (16, 24, 17), "aux_heatmaps": (1, 16, 24, 17)}),
        (
            compositional,
            dict(width=20, depth=2),
            {
                "heatmaps": (16, 24, 17),
                "aux_heatmaps": (1, 16, 24, 17),
                "limb_heatmaps": (2, 16, 24, 14),
                "group_heatmaps": (1, 16, 24, 6),
            },
        ),
    ],
)
def test_output_shapes(arch, options, shapes):
    model = arch((64, 96, 3), 17, **options)
    outputs = model(rng().integers(0, 256, (2, 64, 96, 3), dtype="uint8"))
    assert {name: tuple(x.shape) for name, x in outputs.items()} == {
        name: (2, *shape) for name, shape in shapes.items()
    }
    assert all(keras.ops.dtype(x) == "float32" for x in outputs.values())
    if "attention" in outputs:
        attention = keras.ops.convert_to_numpy(outputs["attention"])
        assert 0 <= attention.min() and attention.max() <= 1


@pytest.mark.parametrize(("joints", "width", "message"), [(16, 32, "num_outputs=16"), (17, 16, "got 16")])
def test_compositional_says_what_it_needs(joints, width, message):
    with pytest.raises(ValueError, match=message):
        compositional((64, 64, 3), joints, width=width)


# Attention


@pytest.mark.parametrize(("maps", "kernel"), [(1, 11), (3, 5)])
def test_attention_is_three_steps_of_mean_field(maps, kernel):
    """Each map by itself, with SciPy's correlation: U, then Q = sigmoid(P * Q + U) from Q = U."""
    x = keras.Input((9, 12, 4))
    model = keras.Model(x, _attention(x, maps, kernel, init="he_normal", name="a"))
    for weight in model.weights:
        weight.assign(rng().normal(scale=0.3, size=weight.shape))
    features = rng().normal(size=(2, 9, 12, 4)).astype("float32")
    unary, unary_bias, pairwise, pairwise_bias = model.get_weights()
    expected = np.zeros((2, 9, 12, maps))
    for b in range(2):
        for k in range(maps):
            u = (
                sum(signal.correlate2d(features[b, ..., c], unary[..., c, k], mode="same") for c in range(4))
                + unary_bias[k]
            )
            q = u
            for _ in range(3):
                q = 1 / (1 + np.exp(-(signal.correlate2d(q, pairwise[..., k, 0], mode="same") + pairwise_bias[k] + u)))
            expected[b, ..., k] = q
    np.testing.assert_allclose(model.predict_on_batch(features), expected, atol=1e-5)


# Hierarchy


def test_hierarchy_covers_the_body_once():
    assert sorted(limb for group in hierarchy.GROUPS for limb in group) == list(range(len(hierarchy.LIMBS)))
    assert {joint for limb in hierarchy.LIMBS for joint in limb} == set(range(17)) - {1, 2}, "all but the eyes"


FLIP_LIMBS = ((0, 2), (1, 3), (4, 6), (5, 7), (10, 11), (12, 13))  # the others stay where they are
FLIP_GROUPS = ((0, 1), (2, 3))


@pytest.mark.parametrize(("parts", "flips"), [(hierarchy.LIMB_BONES, FLIP_LIMBS), (hierarchy.GROUP_BONES, FLIP_GROUPS)])
def test_maps_of_a_mirrored_body_are_mirrored_maps(parts, flips):
    positions = rng().uniform(size=(2, 17, 2)).astype("float32")
    mirrored = (positions * [-1, 1] + [1, 0])[:, geometry.flip_permutation(17, PAIRS)]
    maps, again = (
        keras.ops.convert_to_numpy(hierarchy.segment_maps(p, np.ones((2, 17)), parts, 12, 16, 1.0)[0])
        for p in (positions, mirrored)
    )
    np.testing.assert_allclose(again[:, :, ::-1][..., geometry.flip_permutation(len(parts), flips)], maps, atol=1e-4)


@pytest.mark.parametrize(("height", "width", "sigma"), [(16, 16, 1.0), (10, 24, 2.5)])
@pytest.mark.parametrize("parts", [hierarchy.LIMB_BONES, hierarchy.GROUP_BONES], ids=["limbs", "groups"])
def test_segment_maps(parts, height, width, sigma):
    """Against the nearest of 4001 points on each bone; one body partly outside, one shrunk to a point."""
    positions = rng().uniform(-0.2, 1.2, size=(3, 17, 2)).astype("float32")
    positions[2] = 0.3, 0.6
    labelled = rng().uniform(size=(3, 17)) > 0.2
    maps, valid = (
        keras.ops.convert_to_numpy(x) for x in hierarchy.segment_maps(positions, labelled, parts, height, width, sigma)
    )
    y, x = (np.mgrid[:height, :width] + 0.5)[..., None]
    share = np.linspace(0, 1, 4001)
    for b in range(3):
        for k, part in enumerate(parts):
            nearest = np.inf
            for start, end in (positions[b, list(bone)] * (width, height) for bone in part):
                along = start + share[:, None] * (end - start)
                nearest = np.minimum(nearest, ((x - along[:, 0]) ** 2 + (y - along[:, 1]) ** 2).min(axis=-1))
            np.testing.assert_allclose(maps[b, ..., k], np.exp(-nearest / (2 * sigma**2)), atol=1e-3)
            assert valid[b, k] == all(labelled[b, joint] for bone in part for joint in bone)
    assert maps.dtype == valid.dtype == np.float32


# Initialiser


@pytest.mark.parametrize(
    ("shape", "inputs", "outputs", "variance"),
    [((400, 400), 1, 1, 2 / 400), ((300, 100), 4, 1, 4 / 1300), ((3, 3, 64, 32), 1, 4, 4 / (9 * 64 + 4 * 9 * 32))],
)
def test_multi_branch_variance(shape, inputs, outputs, variance):
    first, second = (MultiBranch(inputs, outputs, seed=1)(shape) for _ in range(2))
    weights = keras.ops.convert_to_numpy(first)
    np.testing.assert_allclose(weights.var(), variance, rtol=0.05)
    assert abs(weights.mean()) < 4 * np.sqrt(variance / weights.size)
    np.testing.assert_array_equal(weights, keras.ops.convert_to_numpy(second))


def test_multi_branch_without_a_seed_follows_the_global_one():
    initializer, draws = MultiBranch(), []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        draws.append([keras.ops.convert_to_numpy(initializer((5, 5))) for _ in range(2)])
    np.testing.assert_array_equal(draws[0], draws[1])
    assert np.abs(draws[0][0] - draws[0][1]).max() > 0.1, "two layers with one initialiser differ"
    with pytest.raises(ValueError, match="inputs=0"):
        MultiBranch(inputs=0)


def drift(draw, branches=4, blocks=20, n=512, batch=32):
    """Variance after the blocks over variance after the first, of activations and of gradients: y = sum_c relu(x) W_c,
    no BatchNorm."""
    y, steps, forward = rng().normal(size=(batch, n)), [], []
    for _ in range(blocks):
        weights = sum(keras.ops.convert_to_numpy(draw((n, n))) for _ in range(branches))
        steps.append((y > 0, weights))
        y = np.maximum(y, 0) @ weights
        forward.append(y.var())
    gradient, backward = rng().normal(size=(batch, n)), []
    for positive, weights in reversed(steps):
        gradient = gradient @ weights.T * positive
        backward.append(gradient.var())
    return forward[-1] / forward[0], backward[-1] / backward[0]


def test_multi_branch_keeps_variance_where_he_does_not():
    """Twenty blocks of four summed branches: He's gains a factor of about four in each."""
    keras.utils.set_random_seed(0)
    assert all(0.5 < ratio < 2 for ratio in drift(lambda shape: MultiBranch(4, 4)(shape)))
    assert all(ratio > 1e8 for ratio in drift(lambda shape: keras.initializers.HeNormal()(shape)))


def test_pyranet_counts_branches():
    """(inputs, outputs) of each convolution of a unit: branches that are summed in front of it, convolutions that read
    what it reads."""
    model = pyranet((64, 64, 3), 17, stacks=1, width=32, depth=3, cardinality=3)
    identity, plain, skipped = "stack1_3_skip", "stack1_1_skip", "stack1_3_up"
    expected = {
        **{f"{identity}_{name}": (1, 2) for name in ("a1", "b1")},
        **{f"{skipped}_{name}": (1, 3) for name in ("a1", "b1", "skip")},
        **{f"{plain}_{name}": (1, 1) for name in ("a1", "a2", "out")},
        **{f"{identity}_b2_conv{i}".removesuffix("_conv"): (1, 3) for i in (1, 2, 3)},
        f"{identity}_a2": (1, 1),
        f"{identity}_b3": (3, 1),
        f"{identity}_out": (2, 1),
    }
    for name, counts in expected.items():
        initializer = model.get_layer(name if "_b2_" in name else f"{name}_conv").kernel_initializer
        assert (initializer.inputs, initializer.outputs) == counts, name
