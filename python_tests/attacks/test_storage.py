from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fctfast import attacks, io
from fctfast.attacks.truth import read_truth
from fctfast.data import ImageSet, open_dataset

Make = Callable[..., ImageSet]


@pytest.fixture
def poisoned(make_set: Make) -> attacks.Poisoned:
    attack = attacks.get("blend-signal", ratio=0.3)
    return attacks.poison(make_set(), attack, rate=0.1, target=0, seed=9)


def test_the_set_opens_without_pickle_and_without_the_truth(
    poisoned: attacks.Poisoned, tmp_path: Path
) -> None:
    attacks.save_poisoned(poisoned, tmp_path / "set")
    with np.load(tmp_path / "set" / "train.npz", allow_pickle=False) as file:
        assert sorted(file.files) == ["class_names", "ids", "images", "labels"]
        assert file["images"].dtype == np.uint8
        assert file["labels"].dtype == file["ids"].dtype == np.int64
        assert np.array_equal(file["images"], poisoned.image_set.images.numpy())


def test_the_data_room_opens_what_was_written(poisoned: attacks.Poisoned, tmp_path: Path) -> None:
    attacks.save_poisoned(poisoned, tmp_path)
    (tmp_path / "truth.parquet").unlink()
    opened = open_dataset(tmp_path)
    assert opened.fingerprint() == poisoned.image_set.fingerprint()
    assert opened.class_names == poisoned.image_set.class_names
    assert open_dataset(tmp_path / "train.npz").fingerprint() == opened.fingerprint()


def test_the_recipe_describes_the_set(poisoned: attacks.Poisoned, tmp_path: Path) -> None:
    written = attacks.save_poisoned(poisoned, tmp_path)
    recipe = attacks.read_recipe(tmp_path)
    assert recipe == written
    assert recipe["sha256"] == io.sha256_file(tmp_path / "train.npz")
    assert (recipe["seed"], recipe["rate"], recipe["target"]) == (9, 0.1, 0)
    assert recipe["rate_of"] == "samples outside the target class"
    assert attacks.recipe_attack(recipe) == attacks.get("blend-signal", ratio=0.3)


def test_the_same_seed_writes_the_same_bytes(poisoned: attacks.Poisoned, tmp_path: Path) -> None:
    first = attacks.save_poisoned(poisoned, tmp_path / "a")
    second = attacks.save_poisoned(poisoned, tmp_path / "b")
    assert first["sha256"] == second["sha256"]


def test_the_truth_lies_in_a_file_of_its_own(poisoned: attacks.Poisoned, tmp_path: Path) -> None:
    attacks.save_poisoned(poisoned, tmp_path)
    truth = read_truth(tmp_path)
    assert torch.equal(truth.ids, poisoned.image_set.ids)
    assert torch.equal(truth.poisoned, poisoned.poisoned_mask)
    assert torch.equal(truth.true_labels, poisoned.true_labels)
    backwards = truth.ids.flip(0)
    assert torch.equal(truth.poisoned_among(backwards), truth.poisoned.flip(0))
    text = (tmp_path / "recipe.json").read_text()
    chosen = poisoned.image_set.ids[poisoned.poisoned_mask].tolist()
    assert str(chosen)[1:-1] not in text


def test_an_unknown_id_is_not_guessed(poisoned: attacks.Poisoned, tmp_path: Path) -> None:
    attacks.save_poisoned(poisoned, tmp_path)
    truth = read_truth(tmp_path / "truth.parquet")
    for unknown in (0, 6, 10**6):
        with pytest.raises(ValueError, match=f"1 of 2 samples .*first id {unknown}"):
            truth.poisoned_among(torch.tensor([5, unknown]))


def test_a_folder_is_not_overwritten(poisoned: attacks.Poisoned, tmp_path: Path) -> None:
    attacks.save_poisoned(poisoned, tmp_path)
    with pytest.raises(FileExistsError, match="already holds a poisoned set"):
        attacks.save_poisoned(poisoned, tmp_path)


def test_missing_or_foreign_files_are_explained(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="fctfast poison"):
        attacks.read_recipe(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"truth\.parquet, which does not exist"):
        read_truth(tmp_path)
    io.write_json(tmp_path / "recipe.json", {"format": "soup"})
    with pytest.raises(ValueError, match="not a recipe written by"):
        attacks.read_recipe(tmp_path)
    io.write_table(tmp_path / "truth.parquet", {"id": np.arange(3)})
    with pytest.raises(ValueError, match="lacks the columns poisoned, true_label"):
        read_truth(tmp_path)


def test_paths_are_kept(make_set: Make, tmp_path: Path) -> None:
    clean = make_set(40)
    named = replace(clean, paths=tuple(f"owl/{i}.png" for i in range(40)))
    attacks.save_poisoned(attacks.poison(named, attacks.get("badnets-all2one")), tmp_path)
    assert open_dataset(tmp_path).paths == named.paths
