"""The networks of task seg, see zoo.py."""

import pytest
from zoo import CHECKS, cases, check_contract, tiny, train

from kzoo.tasks import TASKS


@pytest.mark.parametrize("arch", TASKS["seg"].archs)
def test_contract(arch):
    check_contract("seg", arch)


@pytest.fixture(scope="module", params=cases("seg"))
def trained(request, eight):
    return train("seg", *request.param, {"image": eight})


@pytest.mark.parametrize("check", CHECKS)
def test_trained(trained, check, tmp_path):
    CHECKS[check](trained, tmp_path)


def test_unet_and_encdec_differ_by_the_skips_alone():
    """Same layers but the concatenations; the joined filters are the only difference in weights."""
    encdec, unet = (tiny("seg", arch) for arch in ("encdec", "unet"))
    names = [{layer.name for layer in model.layers if not layer.name.startswith("image")} for model in (encdec, unet)]
    assert names[1] - names[0] == {f"up{step}_skip" for step in (1, 2, 3, 4)} and not names[0] - names[1]
    shapes = [{w.path: w.shape for w in model.weights} for model in (encdec, unet)]
    assert {path for path in shapes[0] if shapes[0][path] != shapes[1][path]} == {
        f"up{s}_merge_conv/kernel" for s in (1, 2, 3, 4)
    }
