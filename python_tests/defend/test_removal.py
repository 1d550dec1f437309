"""Facts about BR: what it trains on, that it forgets D_p and keeps D_c."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from fctfast.data import ImageSet
from fctfast.defend import (
    DBRConfig,
    JointRemoval,
    RemovalSettings,
    remove_backdoor,
    train_base,
)
from fctfast.defend.removal import kept_shares
from fctfast.train import AugmentSettings, Budget, FitSettings, SGDSettings

MEAN, STD = (0.5,) * 3, (0.25,) * 3


@pytest.fixture(scope="module")
def backdoored(small_set: ImageSet, config: DBRConfig) -> nn.Module:
    # Without augmentation: a flip moves the corner, and processors whose arithmetic differs in the
    # last bits then learnt 13 or 15 of the 15.
    budget = replace(config.base.budget, epochs=30)
    settings = replace(config.base, budget=budget, augment=AugmentSettings())
    return train_base(small_set, settings, mean=MEAN, std=STD, device="cpu")[0]


@pytest.fixture(scope="module")
def poisoned() -> Tensor:
    mask = torch.zeros(120, dtype=torch.bool)
    mask[::8] = True
    return mask


def test_joint_is_one_stage_over_both_that_tells_them_apart(
    small_set: ImageSet, poisoned: Tensor
) -> None:
    settings = RemovalSettings(budget=Budget(epochs=4), weight=2.5)
    (stage,) = settings.stages(small_set, poisoned)
    assert stage.loss == JointRemoval(small_set.num_classes, 2.5)
    assert (stage.name, stage.data, stage.budget.epochs) == ("repair", small_set, 4)
    assert stage.targets is not None
    classes = small_set.num_classes
    assert torch.equal(stage.targets // classes, poisoned.long())
    assert torch.equal(stage.targets % classes, small_set.labels)


def test_rounds_alternate_and_the_budget_sets_their_number(
    small_set: ImageSet, poisoned: Tensor
) -> None:
    settings = RemovalSettings("alternate", Budget(epochs=5), fit=FitSettings(batch_size=15))
    stages = settings.stages(small_set, poisoned)
    assert [stage.name for stage in stages] == ["unlearn", "relearn"] * 5
    assert torch.equal(stages[0].data.ids, small_set.ids[poisoned])
    assert torch.equal(stages[1].data.ids, small_set.ids[~poisoned])
    # 15 samples of D_p and 105 of D_c are 1 + 7 steps a round: 17 steps take three of them.
    steps = replace(settings, budget=Budget(epochs=1, min_steps=17))
    assert len(steps.stages(small_set, poisoned)) == 2 * 3


@pytest.mark.parametrize(("method", "lr"), [("joint", 0.02), ("alternate", 0.005)])
def test_forgets_the_poison_and_keeps_the_rest(
    backdoored: nn.Module,
    small_set: ImageSet,
    poisoned: Tensor,
    config: DBRConfig,
    method: str,
    lr: float,
) -> None:
    how = {"mean": MEAN, "std": STD}
    assert kept_shares(backdoored, small_set, poisoned, **how)["dp_kept"] > 0.9
    fit = replace(config.removal.fit, sgd=SGDSettings(lr=lr))
    settings = replace(config.removal, method=method, budget=Budget(epochs=10), fit=fit)
    model = copy.deepcopy(backdoored)
    fitted = remove_backdoor(model, small_set, poisoned, settings, mean=MEAN, std=STD, device="cpu")
    # A third of D_p is red by nature, and may keep its label.
    kept = kept_shares(model, small_set, poisoned, **how)
    assert kept["dp_kept"] <= 0.4
    assert kept["dc_kept"] >= 0.9
    assert not model.training
    names = {"joint": ["repair"] * 10, "alternate": ["unlearn", "relearn"] * 10}
    assert [r["stage"] for r in fitted.history] == names[method]


def test_an_empty_part_is_refused(
    backdoored: nn.Module, small_set: ImageSet, poisoned: Tensor
) -> None:
    for part, mask in (("D_p", poisoned & False), ("D_c", poisoned | True)):
        with pytest.raises(ValueError, match=f"{part} is empty"):
            remove_backdoor(backdoored, small_set, mask, mean=MEAN, std=STD)


def test_published_settings_are_the_papers() -> None:
    augment = AugmentSettings(crop=2)
    mine = RemovalSettings(
        budget=Budget(epochs=7), augment=augment, fit=FitSettings(precision="float32")
    )
    published = mine.published()
    assert (published.method, published.budget) == ("alternate", Budget(epochs=20))
    assert (published.fit.sgd, published.fit.batch_size) == (SGDSettings(lr=1e-4), 128)
    assert (published.augment, published.fit.precision) == (augment, "float32")


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="method: expected one of joint, alternate, got 'both'"):
        RemovalSettings("both")
    with pytest.raises(ValueError, match="weight: expected more than 0, got 0"):
        RemovalSettings(weight=0)
