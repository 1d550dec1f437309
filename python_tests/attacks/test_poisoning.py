from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from fctfast import attacks
from fctfast.attacks.badnets_all2one import BadNetsAll2One
from fctfast.data import ImageSet

Make = Callable[..., ImageSet]


@pytest.mark.parametrize("name", ["badnets-all2one", "blend-signal"])
def test_only_the_chosen_samples_change(make_set: Make, name: str) -> None:
    clean = make_set()
    attack = attacks.get(name)
    result = attacks.poison(clean, attack, rate=0.1, target=2, seed=4)
    mask = result.poisoned_mask
    assert int(mask.sum()) == 18
    assert torch.equal(result.image_set.ids, clean.ids)
    assert torch.equal(result.true_labels, clean.labels)
    assert torch.equal(result.image_set.images[~mask], clean.images[~mask])
    assert torch.equal(result.image_set.labels[~mask], clean.labels[~mask])
    assert bool((result.image_set.labels[mask] == 2).all())
    assert not (clean.labels[mask] == 2).any()
    assert torch.equal(result.image_set.images[mask], attack.apply(clean.images[mask], train=True))


def test_the_clean_set_stays_as_it_is(make_set: Make) -> None:
    clean = make_set()
    before = clean.fingerprint()
    attacks.poison(clean, attacks.get("badnets-all2one"), seed=1)
    assert clean.fingerprint() == before


def test_a_seed_gives_the_same_bits_twice(make_set: Make) -> None:
    clean, attack = make_set(), attacks.get("blend-signal")
    first, second = (attacks.poison(clean, attack, seed=3) for _ in range(2))
    assert first.recipe == second.recipe
    assert first.recipe["fingerprint"] == second.image_set.fingerprint()
    assert (
        attacks.poison(clean, attack, seed=4).recipe["fingerprint"] != first.recipe["fingerprint"]
    )


def test_a_subset_keeps_ids_and_is_poisoned_by_id(make_set: Make) -> None:
    half = make_set().select(torch.arange(0, 200, 2))
    result = attacks.poison(half, attacks.get("badnets-all2one"), rate=0.5, seed=0)
    assert torch.equal(result.image_set.ids, half.ids)


def test_the_test_trigger_leaves_the_target_class_out(make_set: Make) -> None:
    clean, attack = make_set(), attacks.get("badnets-all2one")
    triggered = attacks.trigger_test_set(clean, attack, target=7)
    assert len(triggered.image_set) == 180
    assert not (triggered.true_labels == 7).any()
    assert bool((triggered.image_set.labels == 7).all())
    kept = clean.images[clean.labels != 7]
    assert torch.equal(triggered.image_set.images, attack.apply(kept, train=False))


def test_all2all_triggers_every_test_sample(make_set: Make) -> None:
    class Next(BadNetsAll2One):
        kind = "all2all"

    clean = make_set()
    triggered = attacks.trigger_test_set(clean, Next(), target=7)
    assert torch.equal(triggered.image_set.labels, (clean.labels + 1) % 10)
    poisoned = attacks.poison(clean, Next(), rate=0.25)
    mask = poisoned.poisoned_mask
    assert int(mask.sum()) == 50
    assert torch.equal(poisoned.image_set.labels[mask], (clean.labels[mask] + 1) % 10)


def test_clean_label_keeps_the_labels(make_set: Make) -> None:
    class Clean(BadNetsAll2One):
        kind = "clean-label"

    clean = make_set()
    result = attacks.poison(clean, Clean(), rate=0.5, target=1)
    assert torch.equal(result.image_set.labels, clean.labels)
    assert int(result.poisoned_mask.sum()) == 10
    assert bool((clean.labels[result.poisoned_mask] == 1).all())
    assert len(attacks.trigger_test_set(clean, Clean(), target=1).image_set) == 180


def test_a_test_set_of_the_target_class_alone_is_an_error(make_set: Make) -> None:
    clean = make_set()
    only = clean.select(torch.nonzero(clean.labels == 0).flatten())
    with pytest.raises(ValueError, match="outside the target class 0, got none among 20"):
        attacks.trigger_test_set(only, attacks.get("badnets-all2one"), target=0)


def test_grey_images_work(make_set: Make) -> None:
    clean = make_set(channels=1, size=(28, 28))
    result = attacks.poison(clean, attacks.get("badnets-all2one"))
    assert result.image_set.images.shape == (200, 28, 28, 1)


def test_a_trigger_that_changes_nothing_is_refused(make_set: Make) -> None:
    # Six periods over twelve columns are sampled where the sine is zero.
    clean = make_set(size=(12, 12))
    with pytest.raises(ValueError, match="sig changes none of these 10 images of 12x12"):
        attacks.poison(clean, attacks.get("sig"), rate=0.5, target=1)
    with pytest.raises(ValueError, match=r"sig changes none of these .* so ASR would say nothing"):
        attacks.trigger_test_set(clean, attacks.get("sig"), target=1)


def test_numbers_of_other_types_become_plain_ones(make_set: Make, tmp_path: Path) -> None:
    attack = attacks.get("badnets-all2one")
    rate, target, seed = np.float32(0.5), torch.tensor(2), np.int64(3)
    made = attacks.poison(make_set(), attack, rate=rate, target=target, seed=seed)  # type: ignore[arg-type]
    plain = attacks.poison(make_set(), attack, rate=0.5, target=2, seed=3)
    assert torch.equal(made.image_set.images, plain.image_set.images)
    assert made.recipe == plain.recipe
    assert {type(made.recipe[name]) for name in ("rate", "target", "seed")} == {int, float}
    attacks.save_poisoned(made, tmp_path / "set")


def test_arguments_of_the_wrong_type_are_refused(make_set: Make) -> None:
    attack = attacks.get("badnets-all2one")
    for name in ("target", "seed"):
        with pytest.raises(TypeError, match="float"):
            attacks.poison(make_set(), attack, **{name: 1.5})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="float"):
        attacks.trigger_test_set(make_set(), attack, target=1.5)  # type: ignore[arg-type]
    for refused in (attacks.poison, attacks.trigger_test_set):
        with pytest.raises(
            TypeError, match=r"as fctfast\.attacks\.get\(name\) makes it, got 'sig'"
        ):
            refused(make_set(), "sig")


def test_a_target_class_without_samples_is_named(make_set: Make) -> None:
    clean = make_set()
    rest = clean.select(torch.nonzero(clean.labels != 4).flatten())
    with pytest.raises(ValueError, match="samples of class 4, which this attack poisons, got none"):
        attacks.poison(rest, attacks.get("sig"), target=4)
