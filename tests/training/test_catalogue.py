"""What is read from the source is what is there once it is imported."""

import pytest

from kzoo.datasets import registry
from kzoo.export import formats
from kzoo.nn import decoding, encoders, pytorch_encoders
from kzoo.tasks import TASKS
from kzoo.training import catalogue, networks, optimization


def test_tasks():
    assert list(catalogue.tasks()) == list(TASKS)


@pytest.mark.parametrize("name", TASKS)
def test_a_task(name):
    read, task = catalogue.tasks()[name], TASKS[name]
    assert read.archs == tuple(task.archs) and read.default == task.default in task.archs
    assert read.recipes == dict(task.recipes) and read.score == task.score
    assert (read.learning, read.without) == (task.learning, task.input.without)
    assert (read.square, read.dense) == (task.input.square, task.input.dense)
    assert set(read.losses) == {loss for row in task.outputs.values() for loss in row.losses}
    for arch, function in task.archs.items():
        assert list(catalogue.hyperparameters(arch)) == networks.hyperparameters_of(function)
        for dataset in read.datasets:
            assert read.recipe(dataset, arch) == task.recipe(dataset, arch)


def test_other_tables():
    assert catalogue.encoders() == {name: bool(row.imagenet) for name, row in encoders.ENCODERS.items()}
    assert catalogue.decoders() == (decoding.OWN, *decoding.DECODERS)
    for module, table, there in (
        ("training/optimization", "OPTIMIZERS", optimization.OPTIMIZERS),
        ("training/optimization", "SCHEDULES", optimization.SCHEDULES),
        ("export/formats", "EXPORTS", formats.EXPORTS),
        ("nn/pytorch_encoders", "NETWORKS", pytorch_encoders.NETWORKS),
    ):
        assert catalogue.names_in(module, table) == tuple(there)


@pytest.mark.parametrize("name", registry.DATASETS)
def test_configurations(name):
    assert catalogue.configurations(name) == tuple(c.name for c in registry.builder_class(name).BUILDER_CONFIGS)
