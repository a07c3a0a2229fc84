"""Statistics of studies against independent references: effects, intervals and their coverage, signs, corrections."""

import itertools

import numpy as np
import pytest
from made_up import ARCHS, FULL, score
from scipy import stats

from kzoo.sweep import effects


def rows_of(points, value_of):
    return [({k: v for k, v in point.items() if k != "seed"}, point["seed"], value_of(**point)) for point in points]


def test_effects_and_differences_of_a_balanced_study_are_exact():
    scores = effects.Scores.of(
        rows_of(FULL, lambda arch, encoder_weights, seed: score(arch, encoder_weights, seed, noise=0.0))
    )
    assert scores.values.shape == (6, 3)
    found = effects.effects(scores, "arch")
    for arch, truth in ARCHS.items():
        assert (
            found[arch]["effect"].value == pytest.approx(truth - np.mean(list(ARCHS.values())))
            and found[arch]["cells"] == 2
        )
        assert found[arch]["mean"] == pytest.approx(truth + 0.1)
        assert (found[arch]["effect"].low, found[arch]["effect"].high) == pytest.approx(
            [found[arch]["effect"].value] * 2
        )
    pair = effects.compare(scores, "encoder_weights", "imagenet", "none")
    assert pair["difference"].value == pytest.approx(0.1) and (pair["pairs"], pair["won"]) == (9, 9)
    assert pair["p"] == pytest.approx(2 / 2**9) and len(pair["by_cell"]) == 3


def test_missing_runs_leave_matched_ones():
    """Without its best seed an arch would look worse; with the cell gone for one level the main effect leaves it out
    for all."""
    rows = rows_of(FULL, lambda arch, encoder_weights, seed: score(arch, encoder_weights, seed, noise=0.0))
    rows = [row for row in rows if row[:2] != ({"arch": "unet", "encoder_weights": "none"}, "2")]
    rows = [row for row in rows if row[0] != {"arch": "fcn", "encoder_weights": "imagenet"}]
    scores = effects.Scores.of(rows)
    found = effects.effects(scores, "arch")
    assert (
        found["unet"]["effect"].value == pytest.approx(0.56 - np.mean(list(ARCHS.values())))
        and found["unet"]["cells"] == 1
    )
    assert found["unet"]["effect"].blocks == 2 and found["unet"]["effect"].low is None
    pair = effects.compare(scores, "arch", "unet", "encdec")
    assert pair["difference"].value == pytest.approx(0.06) and pair["pairs"] == 5
    alone = effects.Scores.of([row for row in rows if row[0]["encoder_weights"] == "imagenet"])
    assert effects.compare(alone, "arch", "unet", "encdec") and effects.effects(alone, "encoder_weights") == {}
    one_each = [({"arch": "a", "lr": 1}, "0", 0.1), ({"arch": "b", "lr": 2}, "0", 0.2)]
    assert (
        effects.compare(effects.Scores.of(one_each), "arch", "a", "b") is None
        and effects.effects(effects.Scores.of(one_each), "arch") == {}
    )


def test_runs_of_one_setting_and_seed_count_once():
    scores = effects.Scores.of(
        [({"a": 1}, "0", 0.0), ({"a": 1}, "0", 1.0), ({"a": 1}, "10", 2.0), ({"a": 1}, "2", 3.0)]
    )
    assert scores.seeds == ["0", "2", "10"] and scores.values.tolist() == [[0.5, 3.0, 2.0]]


@pytest.mark.parametrize("n", [3, 5, 9])
def test_the_plain_interval_is_scipys_percentile_bootstrap(n):
    values = np.random.default_rng(n).normal(size=n)
    reference = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=40_000, rng=np.random.default_rng(1)
    )
    low, high = reference.confidence_interval
    found = effects.estimate(values)
    assert found.plain == pytest.approx((low, high), abs=0.03 * np.ptp(values) + 1e-9)
    stretch = stats.t.ppf(0.975, n - 1) / 1.959964 * np.sqrt(n / (n - 1))
    assert found.high - found.value == pytest.approx(stretch * (found.plain[1] - found.value))
    assert effects.estimate(values, seed=0) == found and effects.resamples(n).sum(axis=1).tolist() == [n] * len(
        effects.resamples(n)
    )


def test_seeds_are_resampled_as_blocks():
    """A seed that moves all settings alike is no noise of their difference: by pairs of cells drawn alone the interval
    would be wide."""
    seeds = np.array([[0.0, 5.0, 9.0], [0.0, 5.0, 9.0]])
    found = effects.estimate(seeds + [[0.1], [0.2]] - seeds)
    assert (found.value, found.low, found.high) == pytest.approx((0.15, 0.15, 0.15)) and found.blocks == 3
    blocks = effects.estimate([[1.0, 2.0, np.nan], [np.nan, 4.0, 9.0]])
    assert blocks.value == pytest.approx((1.5 + 6.5) / 2) and (blocks.least, blocks.most) == (1.0, 9.0)


def test_coverage():
    """Of 600 studies with 3 seeds and noise, 95 % hold the truth; the plain percentile interval does not hold what it
    says."""
    rng, hits, plain = np.random.default_rng(0), 0, 0
    for _ in range(600):
        found = effects.estimate(rng.normal(size=(2, 3)))
        hits += found.low <= 0 <= found.high
        plain += found.plain[0] <= 0 <= found.plain[1]
    assert 0.92 < hits / 600 < 0.98 and 0.70 < plain / 600 < 0.80


@pytest.mark.parametrize(
    "differences",
    [[0.1, 0.2, 0.3], [1, 2, -3, 4, 5, 6], [0.5], [0, 0], [1] * 6, [0.3, -0.1, 0.2, 0.25, -0.05, 0.4, 0.1]],
)
def test_p_of_signs_is_that_of_all_signs(differences):
    signs = np.array(list(itertools.product((1, -1), repeat=len(differences))))
    means = np.abs((signs * differences).mean(axis=1))
    expected = (means >= abs(np.mean(differences)) - 1e-12).mean()
    assert effects.p_of_signs(differences) == pytest.approx(expected)
    if len(set(differences)) == 1 and differences[0]:  # equal ones: the sign test
        assert effects.p_of_signs(differences) == pytest.approx(
            stats.binomtest(len(differences), len(differences)).pvalue
        )


def test_p_of_many_signs():
    assert (
        effects.p_of_signs([1.0] * 20) == pytest.approx(1e-4, abs=2e-4) and effects.p_of_signs([1.0, -1.0] * 10) > 0.5
    )


def test_holm():
    assert effects.holm([0.01, 0.04, 0.03, 0.2]) == pytest.approx([0.04, 0.09, 0.09, 0.2]) and effects.holm([]) == []
    assert effects.holm([0.5, 0.6]) == [1.0, 1.0]


def test_rank_correlation():
    x = np.linspace(0, 1, 20)
    up = effects.rank_correlation(x, x**3)
    assert up["rho"] == pytest.approx(1) and up["low"] == pytest.approx(1) and up["p"] < 1e-6
    noise = effects.rank_correlation(x, np.random.default_rng(0).normal(size=20))
    assert noise["low"] < 0 < noise["high"] and noise["rho"] == pytest.approx(
        stats.spearmanr(x, np.random.default_rng(0).normal(size=20))[0]
    )
    assert (
        effects.rank_correlation([1, 2], [1, 2])["rho"] is None
        and effects.rank_correlation([1, 1, 1], [1, 2, 3])["rho"] is None
    )
