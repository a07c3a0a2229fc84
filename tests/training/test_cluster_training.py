"""Training without labels: the order of batches, both phases, resuming, collapse, embeddings of other runs."""

import dataclasses

import keras
import numpy as np
import pytest
import run_folders

from kzoo import UserError
from kzoo.nn import embeddings
from kzoo.runs import Run
from kzoo.tasks import TASKS
from kzoo.training import cluster_state, clustering, networks

PLAN = clustering.Plan(epochs=6, rounds=4, update_interval=5, tol=0.0, batch_size=32, lr=3e-3, cluster_lr=1e-3)


class Dataset:
    """Stands for a tf.data pipeline of pictures with labels."""

    def __init__(self, images, labels, batch_size=50):
        self.images, self.labels, self.batch_size = images, labels, batch_size

    def as_numpy_iterator(self):
        for start in range(0, len(self.images), self.batch_size):
            part = slice(start, start + self.batch_size)
            yield self.images[part], {"label": self.labels[part]}, {}


@pytest.fixture(scope="module")
def digits():
    """Images (200, 8, 8, 3) uint8 and labels of scikit-learn's digits."""
    from sklearn.datasets import load_digits

    found = load_digits()
    images = np.rint(found.images[:200] * 255 / 16).astype("uint8")
    return np.repeat(images[..., None], 3, axis=-1), found.target[:200]


def network(arch="dec"):
    keras.utils.set_random_seed(0)
    return networks.build(TASKS["cluster"], arch, 8, 10, widths=(32, 24), code=5)


def run_in(folder) -> Run:
    return Run(folder, run_folders.configuration("cluster", "dec", data="digits"))


def trained(digits, folder, *, model=None, weights=None, resume=False, **changes):
    """What train.py does with a plan: the network and why its training ended."""
    model = model or network()
    compiled = networks.compile_arguments(
        TASKS["cluster"], model, 10, loss=None, loss_options={}, weights=weights or {"reconstruction": 0}
    )
    compiled = {name: compiled[name] for name in ("loss", "loss_weights")}
    plan, run, examples = dataclasses.replace(PLAN, **changes), run_in(folder), len(digits[0])
    clustering.check(model, examples, plan, run if resume else None)
    reason = clustering.train(model, Dataset(*digits), examples, plan=plan, compiled=compiled, run=run, resume=resume)
    return model, reason


def test_batches_visit_every_example_once_an_epoch_in_an_order_of_their_own():
    values = np.arange(100)
    targets = {"y": values * 2}

    def visited(first, steps, seed=0):
        data = clustering.Batches(values, targets, 10, seed=seed, first=first, steps=steps)
        found = [data[i] for i in range(steps)]
        assert all(np.array_equal(x * 2, y["y"]) for x, y in found)
        return np.concatenate([x for x, _ in found])

    whole = visited(0, 20)
    assert sorted(whole[:100]) == sorted(whole[100:]) == list(range(100))
    assert not np.array_equal(whole[:100], whole[100:]) and not np.array_equal(whole, visited(0, 20, seed=1))
    np.testing.assert_array_equal(np.concatenate([visited(0, 7), visited(7, 13)]), whole)
    data = clustering.Batches(values, targets, 10, seed=0, first=0, steps=7)
    data.on_epoch_end()
    np.testing.assert_array_equal(data[0][0], whole[70:80])


def test_signals_have_unit_power(digits):
    model = network()
    values, labels = clustering.signals(model, Dataset(*digits), 200)
    assert values.shape == (200, 8, 8, 1) and np.mean(values.astype("float64") ** 2) == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(labels, digits[1])
    np.testing.assert_allclose(
        values * float(model.get_layer("signal").rms.numpy()), digits[0][..., :1] / 255, atol=1e-6
    )
    with pytest.raises(UserError, match="nothing to cluster"):
        clustering.signals(model, Dataset(np.zeros_like(digits[0]), digits[1]), 200)


def test_both_phases_learn(digits, tmp_path):
    model, reason = trained(digits, tmp_path, epochs=60, rounds=6, update_interval=10)
    rows = run_in(tmp_path).history
    first, last = rows[0], rows[-1]
    phases = [row["round"] for row in rows]
    assert phases == [0] * 60 + list(range(1, 8)) and [row["epoch"] for row in rows] == [*range(1, 61), *range(60, 67)]
    assert rows[59]["reconstruction"] < 0.3 * first["reconstruction"], "the auto-encoder learns"
    assert last["kl"] > 0 and last["silhouette"] > rows[60]["silhouette"], "clusters become denser"
    assert last["acc"] > 0.4 and reason.startswith("all 6 rounds")
    found = run_in(tmp_path).clustering
    assert found["stopped"] == reason and set(found["baselines"]) == {
        "k-means on pixels",
        "k-means on auto-encoder codes",
    }
    assert found["baselines"]["k-means on auto-encoder codes"]["acc"] == pytest.approx(rows[60]["acc"], abs=0.02), (
        "the centres are k-means'"
    )
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for name, value in loaded.predict_on_batch(digits[0]).items():
        np.testing.assert_allclose(value, model.predict_on_batch(digits[0])[name], atol=1e-5)


@pytest.mark.parametrize(("weights", "moves"), [({"reconstruction": 0}, False), ({"reconstruction": 1}, True)])
def test_dec_leaves_the_decoder_alone(weights, moves, digits, tmp_path):
    model = network()
    trained(digits, tmp_path, model=model, weights=weights, rounds=0)
    before = model.get_layer("decoder_signal").get_weights()[0], model.get_layer("clusters").get_weights()[0]
    trained(digits, tmp_path, model=model, weights=weights, rounds=2, resume=True)
    after = model.get_layer("decoder_signal").get_weights()[0], model.get_layer("clusters").get_weights()[0]
    assert (np.abs(after[0] - before[0]).max() > 0) == moves and np.abs(after[1] - before[1]).max() > 0


def test_stops_when_labels_settle(digits, tmp_path):
    _, reason = trained(digits, tmp_path, tol=0.9, rounds=50)
    assert "less than --tol=0.9" in reason and run_in(tmp_path).history[-1]["round"] == 2


@pytest.mark.parametrize("phase", ["auto-encoder", "rounds"])
def test_a_killed_run_ends_as_an_uninterrupted_one(phase, digits, tmp_path, monkeypatch):
    whole, _ = trained(digits, tmp_path / "whole")
    monkeypatch.setattr(cluster_state, "PAUSE", -1.0)  # a state after every epoch and round

    class Killed(Exception):
        pass

    write, count = cluster_state.State.write, []

    def killed(self, kept, **options):
        write(self, kept, **options)
        count.append(kept)
        if count.count({"auto-encoder": self.run.pretraining, "rounds": self.run.state}[phase]) == 3:
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(cluster_state.State, "write", killed)
        trained(digits, tmp_path / "cut")
    keras.utils.set_random_seed(7)
    again, _ = trained(digits, tmp_path / "cut", resume=True)
    for a, b in zip(whole.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    drop = ("seconds",)
    rows = [
        [{k: v for k, v in row.items() if k not in drop} for row in run_in(tmp_path / f).history]
        for f in ("whole", "cut")
    ]
    assert len(rows[0]) == len(rows[1])
    for a, b in zip(*rows, strict=True):
        np.testing.assert_allclose(list(a.values()), list(b.values()), atol=1e-4)


def test_collapse_is_told_and_stopped(digits, tmp_path):
    """A target that calls for one cluster, as a broken one may: all codes run into it."""
    model = network()

    def one_cluster(q):
        target = np.zeros_like(q)
        target[:, 0] = 1
        return target

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clustering.cluster_scores, "target_distribution", one_cluster)
        _, reason = trained(digits, tmp_path, model=model, cluster_lr=0.03, update_interval=10, rounds=40)
    rows = [row for row in run_in(tmp_path).history if row["round"]]
    assert reason.startswith("collapsed in round") and len(rows) < 40
    assert rows[-1]["perplexity"] < 0.5 * rows[0]["perplexity"] <= rows[-2]["perplexity"] * (1 + 1e-9)
    kept = keras.saving.load_model(tmp_path / "model.keras").predict_on_batch(digits[0])["assignment"].argmax(axis=1)
    shares = np.bincount(kept, minlength=10) / len(kept)
    perplexity = np.exp(-sum(share * np.log(share) for share in shares if share))
    assert perplexity == pytest.approx(rows[-2]["perplexity"], rel=1e-3), "the round before is kept"
    assert trained(digits, tmp_path, resume=True, rounds=60)[1] == reason, "resuming says so again"
    found = run_in(tmp_path).rounds
    assert f"codes{len(rows) - 1}" not in found and f"codes{len(rows) - 2}" in found


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"schedule": "plateau"}, "waits for a score"),
        ({"lr": 1e30}, "loss became"),
        ({"cluster_lr": 1e30}, "--cluster_lr"),
    ],
)
def test_mistakes(flags, words, digits, tmp_path):
    with pytest.raises(UserError, match=words):
        trained(digits, tmp_path, **flags)


def test_more_clusters_than_examples(digits, tmp_path):
    model = networks.build(TASKS["cluster"], "dec", 8, 10, widths=(8,), code=2, clusters=201)
    with pytest.raises(UserError, match="more examples than clusters"):
        trained(digits, tmp_path / "run", model=model)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("task", "arch"), [("pose", "softargmax"), ("seg", "unet"), ("pose3d", "lift"), ("loc", "posenet")]
)
def test_embedding_of_any_task(task, arch):
    from zoo import tiny

    model = tiny(task, arch)
    tensor = embeddings.embedding(model, TASKS[task].main_of(model.output_names))
    assert len(tensor.shape) == 2 and tensor.shape[1] >= 16 and tensor.dtype == "float32"


def test_embedding_is_the_mean_of_the_last_small_map():
    from zoo import tiny

    from kzoo.nn import feature_maps

    model = tiny("seg", "unet")
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype="uint8")
    last = feature_maps.feature_maps(model, "logits")[-1]
    maps, found = (
        keras.Model(model.input, {"maps": last, "found": embeddings.embedding(model, "logits")})
        .predict_on_batch(images)
        .values()
    )
    assert maps.shape[1:3] == (2, 2)
    np.testing.assert_allclose(found, maps.mean(axis=(1, 2)), atol=1e-5)
