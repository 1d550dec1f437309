"""Images of a set where the network is."""

from __future__ import annotations

import pytest
import torch

from fctfast.data import ImageSet
from fctfast.train import resident
from fctfast.train.resident import Resident

POSITIONS = torch.tensor([5, 0, 119, 5])


def test_on_the_cpu_a_batch_is_taken_as_it_is(small_set: ImageSet) -> None:
    images = Resident(torch.device("cpu"))
    assert torch.equal(images(small_set, POSITIONS), small_set.images[POSITIONS])
    assert not images.whole


@pytest.mark.cuda
@pytest.mark.parametrize("share", [0.25, 0.0])
def test_on_a_gpu_a_set_that_fits_is_copied_once(
    small_set: ImageSet, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU: a set in its memory")
    monkeypatch.setattr(resident, "SHARE", share)
    images = Resident(torch.device("cuda"))
    for _ in range(2):
        batch = images(small_set, POSITIONS)
        assert batch.is_cuda
        assert torch.equal(batch.cpu(), small_set.images[POSITIONS])
    (kept,) = images.whole.values()
    assert kept[0] is small_set
    assert (kept[1] is None) == (share == 0)
