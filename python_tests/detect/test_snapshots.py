"""Facts about snapshots: the probe does not notice, the most telling one is chosen."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fctfast.data import ImageSet
from fctfast.detect import FctResult, FctSettings
from fctfast.detect.evidence import Evidence
from fctfast.detect.guards import Health
from fctfast.detect.mixture import TwoGroups
from fctfast.detect.snapshots import (
    Snapshot,
    most_telling,
    read_snapshot,
    sample_of,
    take_snapshots,
)
from fctfast.io import write_tensors
from fctfast.models import create_model

MEAN, STD = (0.5,) * 3, (0.25,) * 3


def snapshot(
    step: int, separation: float, reasons: tuple[str, ...] = (), transform: str = "affine"
) -> Snapshot:
    groups = TwoGroups((0.0, separation), (1.0, 1.0), 0.5, 1e3, 200)
    nothing = FctResult(torch.empty(1, 0), torch.empty(0), torch.empty(0, dtype=torch.int64))
    health, evidence = (
        Health(0.0, 0.9, 1.0, reasons),
        Evidence((None, groups), (0.0, 0.0), (0.75, 0.75)),
    )
    return Snapshot(step, transform, nothing, {}, health, evidence)


def test_the_clearest_moment_wins_and_the_later_of_equals() -> None:
    taken = [snapshot(1, 2.7), snapshot(2, 4.1), snapshot(3, 4.1), snapshot(4, 3.2)]
    assert most_telling(taken).step == 3
    # Without any evidence: a probe that has learnt nothing yet would flag at random.
    assert most_telling([snapshot(1, 0.0), snapshot(2, 0.0), snapshot(3, 0.0)]).step == 3


def test_the_clearest_tau_wins_and_the_first_of_equals() -> None:
    pairs = [(1, 2.7, "flip"), (1, 4.1, "crop"), (2, 3.9, "flip"), (2, 4.0, "crop")]
    chosen = most_telling([snapshot(s, d, transform=t) for s, d, t in pairs])
    assert (chosen.step, chosen.transform) == (1, "crop")
    nothing = [snapshot(s, 0.0, transform=t) for s, _, t in pairs]
    assert (most_telling(nothing).step, most_telling(nothing).transform) == (2, "flip")


def test_collapsed_snapshots_never_win() -> None:
    bad = snapshot(4, 9.0, ("zero features",))
    assert most_telling([snapshot(1, 2.7), bad]).step == 1
    with pytest.raises(ValueError, match="step 4, affine: zero features"):
        most_telling([bad])


def test_the_sample_holds_so_many_of_each_label_and_depends_on_the_seed(
    small_set: ImageSet,
) -> None:
    some = sample_of(small_set, 10, seed=0)
    assert torch.bincount(some.labels).tolist() == [10, 10, 10]
    assert torch.equal(some.ids, some.ids.sort().values)
    assert torch.equal(some.ids, sample_of(small_set, 10, seed=0).ids)
    assert not torch.equal(some.ids, sample_of(small_set, 10, seed=1).ids)
    assert sample_of(small_set, 1000, seed=0) is small_set
    # A class with fewer is there whole.
    rare = (small_set.labels == 2).nonzero().flatten()[:4]
    others = (small_set.labels != 2).nonzero().flatten()
    uneven = small_set.select(torch.cat([others, rare]).sort().values)
    assert torch.bincount(sample_of(uneven, 20, seed=0).labels).tolist() == [20, 20, 4]


def take(
    model: torch.nn.Module,
    data: ImageSet,
    recompute: bool,
    path: Path | None,
    *,
    step: int = 7,
    **identity: object,
) -> Snapshot:
    taken = take_snapshots(
        model,
        data,
        data,
        step=step,
        transforms=("rotate+affine", "flip"),
        identity=identity,
        mean=MEAN,
        std=STD,
        seed=0,
        settings=FctSettings(draws=2),
        recompute=recompute,
        device=torch.device("cpu"),
        path=path,
    )
    assert [s.transform for s in taken] == ["rotate+affine", "flip"]
    assert not torch.equal(taken[0].result.fct, taken[1].result.fct)
    return taken[0]


def test_the_probe_does_not_notice_that_it_was_scored(small_set: ImageSet) -> None:
    model = create_model("resnet18", num_classes=3, width=4).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    recomputed = take(model, small_set, True, None)
    assert all(torch.equal(before[n], v) for n, v in model.state_dict().items())
    assert all(module.training for module in model.modules())
    # Fresh running statistics (mean 0, variance 1) are not those of the data.
    assert not torch.equal(recomputed.result.fct, take(model, small_set, False, None).result.fct)


def test_a_file_is_read_instead_of_scoring_again(small_set: ImageSet, tmp_path: Path) -> None:
    model = create_model("resnet18", num_classes=3, width=4)
    path = tmp_path / "s.safetensors"
    first = take(model, small_set, True, path)
    again = take(create_model("resnet18", num_classes=3, width=4, seed=9), small_set, True, path)
    assert torch.equal(first.result.fct, again.result.fct)
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
    again = take(model, small_set, True, path, seed=1, std=STD)
    assert torch.equal(again.result.fct, first.result.fct)
    with pytest.raises(ValueError, match=r"other settings: seed \(1 there, 2 now\); use a new"):
        take(model, small_set, True, path, seed=2, std=STD)
    with pytest.raises(ValueError, match=r"step \(7 there, 8 now\)"):
        take(model, small_set, True, path, step=8, seed=1, std=STD)
    # What the file says beyond the question does not count: the step is known only later.
    results, _ = read_snapshot(path, len(small_set), {"seed": 1})
    assert torch.equal(results["rotate+affine"].fct, first.result.fct)
    assert torch.equal(results["flip"].norms, first.result.norms)
