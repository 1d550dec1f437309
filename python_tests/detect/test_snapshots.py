"""Facts about snapshots: the probe does not notice, the most telling one is chosen."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fctfast.data import ImageSet
from fctfast.detect import FctSettings
from fctfast.detect.guards import Health
from fctfast.detect.snapshots import Snapshot, most_telling, read_result, take_snapshot
from fctfast.detect.verdict import Evidence
from fctfast.io import write_tensors
from fctfast.models import create_model

MEAN, STD = (0.5,) * 3, (0.25,) * 3


def snapshot(
    step: int, separation: float, concentration: float = 5.0, reasons: tuple[str, ...] = ()
) -> Snapshot:
    return Snapshot(
        step,
        torch.full((3,), float(step), dtype=torch.float64),
        Health(0.0, 0.9, 1.0, reasons),
        Evidence(separation, concentration, 0.5, 0, concentration >= 3.0, (separation,)),
    )


def test_without_evidence_the_largest_separation_wins_and_the_earlier_of_equals() -> None:
    assert most_telling([snapshot(1, 2.7), snapshot(2, 3.1), snapshot(3, 3.1)]).step == 2


def test_with_evidence_the_purest_d_p_wins() -> None:
    # The six moments of the docstring.
    values = [(2.7, 3.7), (4.0, 9.5), (3.9, 8.4), (3.6, 4.3), (5.1, 8.1), (5.2, 8.3)]
    taken = [snapshot(step, *pair) for step, pair in enumerate(values)]
    assert most_telling(taken).step == 1


def test_collapsed_snapshots_never_win() -> None:
    bad = snapshot(4, 9.0, 9.9, ("zero features",))
    assert most_telling([snapshot(1, 2.7), bad]).step == 1
    with pytest.raises(ValueError, match="step 4: zero features"):
        most_telling([bad])


def take(
    model: torch.nn.Module,
    data: ImageSet,
    recompute: bool,
    path: Path | None,
    *,
    step: int = 7,
    **identity: object,
) -> Snapshot:
    return take_snapshot(
        model,
        data,
        step=step,
        identity=identity,
        mean=MEAN,
        std=STD,
        seed=0,
        settings=FctSettings(draws=2),
        alpha_p=0.1,
        recompute=recompute,
        device=torch.device("cpu"),
        path=path,
    )


def test_the_probe_does_not_notice_that_it_was_scored(small_set: ImageSet) -> None:
    model = create_model("resnet18", num_classes=3, width=4).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    recomputed = take(model, small_set, True, None)
    assert all(torch.equal(before[n], v) for n, v in model.state_dict().items())
    assert all(module.training for module in model.modules())
    # Fresh running statistics (mean 0, variance 1) are not those of the data.
    assert not torch.equal(recomputed.fct, take(model, small_set, False, None).fct)


def test_a_file_is_read_instead_of_scoring_again(small_set: ImageSet, tmp_path: Path) -> None:
    model = create_model("resnet18", num_classes=3, width=4)
    path = tmp_path / "s.safetensors"
    first = take(model, small_set, True, path)
    again = take(create_model("resnet18", num_classes=3, width=4, seed=9), small_set, True, path)
    assert torch.equal(first.fct, again.fct)
    with pytest.raises(ValueError, match="scores of 60 samples"):
        take(model, small_set.select(torch.arange(60)), True, path)
    write_tensors(path, {"a": torch.zeros(1)})
    with pytest.raises(ValueError, match="new folder, or delete the whole folder"):
        take(model, small_set, True, path)


def test_a_file_of_another_moment_or_identity_is_refused(
    small_set: ImageSet, tmp_path: Path
) -> None:
    model = create_model("resnet18", num_classes=3, width=4)
    path = tmp_path / "s.safetensors"
    first = take(model, small_set, True, path, seed=1, std=STD)
    assert torch.equal(take(model, small_set, True, path, seed=1, std=STD).fct, first.fct)
    with pytest.raises(ValueError, match=r"other settings: seed \(1 there, 2 now\); use a new"):
        take(model, small_set, True, path, seed=2, std=STD)
    with pytest.raises(ValueError, match=r"step \(7 there, 8 now\)"):
        take(model, small_set, True, path, step=8, seed=1, std=STD)
    # What the file says beyond the question does not count: the step is known only later.
    assert len(read_result(path, len(small_set), {"seed": 1}).norms) == len(small_set)
