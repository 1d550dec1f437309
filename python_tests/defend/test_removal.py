"""Facts about BR: it alternates, it counts steps, it forgets D_p and keeps D_c, it stops."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from fctfast.data import ImageSet
from fctfast.defend import DBRConfig, RemovalSettings, StopRule, remove_backdoor, train_base
from fctfast.defend.removal import kept_share
from fctfast.train import AugmentSettings, FitSettings, load_recipe

MEAN, STD = (0.5,) * 3, (0.25,) * 3


@pytest.fixture(scope="module")
def backdoored(small_set: ImageSet, config: DBRConfig) -> nn.Module:
    # Without augmentation: a flip moves the corner, and processors whose arithmetic differs in the
    # last bits then learnt 13 or 15 of the 15.
    budget = replace(config.base.budget, epochs=30)
    settings = replace(config.base, budget=budget, augment=AugmentSettings())
    return train_base(small_set, settings, mean=MEAN, std=STD, device="cpu")[0]


@pytest.fixture(scope="module")
def halves(small_set: ImageSet) -> tuple[ImageSet, ImageSet]:
    poisoned = torch.zeros(120, dtype=torch.bool)
    poisoned[::8] = True
    return small_set.select(poisoned), small_set.select(~poisoned)


def test_rounds_alternate_and_ascent_steps_set_their_number(
    halves: tuple[ImageSet, ImageSet],
) -> None:
    settings = RemovalSettings(rounds=5, fit=FitSettings(batch_size=5))
    names = [stage.name for stage in settings.stages(*halves)]
    assert names == ["unlearn", "relearn"] * 5
    # 15 samples of D_p are 3 steps a round: 2 rounds are 6 steps and too few, 3 are enough.
    assert len(replace(settings, ascent_steps=7).stages(*halves)) == 2 * 3
    assert len(replace(settings, ascent_steps=1).stages(*halves)) == 2
    # A budget, not a cap: a small D_p gets more rounds than `rounds`.
    assert len(replace(settings, ascent_steps=60).stages(*halves)) == 2 * 20
    # 15 in batches of 7 are 2 steps, not 3: a batch of one joins the one before it.
    settings = RemovalSettings(ascent_steps=6, fit=FitSettings(batch_size=7))
    assert len(settings.stages(*halves)) == 2 * 3


@pytest.mark.parametrize(("name", "poisoned"), [("cifar10-cpu", 1000), ("digits", 75)])
def test_recipes_in_steps_buy_the_rounds_they_were_measured_with(name: str, poisoned: int) -> None:
    """20 and 40 rounds, the numbers behind their results."""
    settings = load_recipe(name).section("br", RemovalSettings)
    part = ImageSet(
        ids=torch.arange(poisoned),
        images=torch.zeros(poisoned, 1, 1, 3, dtype=torch.uint8),
        labels=torch.zeros(poisoned, dtype=torch.int64),
        class_names=("a", "b"),
    )
    assert settings.ascent_steps is not None
    assert len(settings.stages(part, part)) == 2 * {"cifar10-cpu": 20, "digits": 40}[name]


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "imagenet-subset"])
def test_the_recipes_of_the_paper_run_all_rounds_without_a_rule(name: str) -> None:
    settings = load_recipe(name).section("br", RemovalSettings)
    assert settings == settings.published()
    assert (settings.rounds, settings.ascent_steps, settings.stop) == (20, None, None)


def test_forgets_the_poison_and_keeps_the_rest(
    backdoored: nn.Module, halves: tuple[ImageSet, ImageSet], config: DBRConfig
) -> None:
    poisoned, clean = halves
    assert kept_share(backdoored, poisoned, mean=MEAN, std=STD) > 0.9
    settings = replace(config.removal, rounds=30, stop=StopRule(kept=0.4, lost=0.1))
    model = copy.deepcopy(backdoored)
    fitted = remove_backdoor(model, poisoned, clean, settings, mean=MEAN, std=STD, device="cpu")
    # A third of D_p is red by nature, and rightly keeps its label.
    assert kept_share(model, poisoned, mean=MEAN, std=STD) <= 0.4
    assert kept_share(model, clean, mean=MEAN, std=STD) >= 0.9
    assert fitted.stopped
    done = [r for r in fitted.history if r["stage"] == "relearn"]
    assert len(done) < 30
    assert done[-1]["dp_kept"] == kept_share(model, poisoned, mean=MEAN, std=STD)


def test_without_a_rule_all_rounds_run(
    backdoored: nn.Module, halves: tuple[ImageSet, ImageSet], config: DBRConfig
) -> None:
    model = copy.deepcopy(backdoored)
    fitted = remove_backdoor(model, *halves, config.removal, mean=MEAN, std=STD, device="cpu")
    assert [r["stage"] for r in fitted.history] == ["unlearn", "relearn"] * 2
    assert not fitted.stopped
    assert not model.training


def test_an_empty_part_is_refused(backdoored: nn.Module, halves: tuple[ImageSet, ImageSet]) -> None:
    nothing = halves[0].select(torch.zeros(0, dtype=torch.int64))
    with pytest.raises(ValueError, match="D_p is empty"):
        remove_backdoor(backdoored, nothing, halves[1], mean=MEAN, std=STD)
    with pytest.raises(ValueError, match="D_c is empty"):
        remove_backdoor(backdoored, halves[1], nothing, mean=MEAN, std=STD)


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="rounds"):
        RemovalSettings(rounds=0)
    with pytest.raises(ValueError, match="ascent_steps"):
        RemovalSettings(ascent_steps=0)
