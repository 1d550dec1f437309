"""A poisoned set on disk: the set, its recipe, and the truth in a file of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fctfast import io
from fctfast.attacks.exchange import IMPORTED
from fctfast.attacks.poisoning import Poisoned
from fctfast.attacks.registry import Attack, get
from fctfast.attacks.truth import write_truth

RECIPE_FILE = "recipe.json"
SET_FILE = "train.npz"
FORMAT = "fctfast-poisoned-1"


def save_poisoned(poisoned: Poisoned, folder: str | Path) -> dict[str, Any]:
    """Write a poisoned set.

    ``train.npz`` holds images (uint8 [N, H, W, C]), labels and ids (int64 [N]), class_names
    (unicode), and paths if the source has them, without pickle: it opens like any other set and
    says nothing about the attack.
    ``truth.parquet`` says which samples are poisoned; only evaluation and reports read it.
    What the test trigger needs, such as a network, lies beside it (:meth:`Attack.keep`).
    ``recipe.json`` says how the set was made and is written last: a folder with a recipe is whole.

    Args:
        poisoned: from :func:`fctfast.attacks.poison`.
        folder: made if it does not exist.

    Returns:
        The recipe as written, with the SHA-256 of the set's file.

    Raises:
        FileExistsError: the folder already holds a poisoned set.
    """
    folder = Path(folder)
    if (folder / RECIPE_FILE).exists():
        raise FileExistsError(
            f"poison: {folder} already holds a poisoned set; choose another folder or delete it"
        )
    data = poisoned.image_set
    arrays = {
        "images": data.images.numpy(),
        "labels": data.labels.numpy(),
        "ids": data.ids.numpy(),
        "class_names": np.array(data.class_names, dtype=np.str_),
    }
    if data.paths is not None:
        arrays["paths"] = np.array(data.paths, dtype=np.str_)
    io.write_arrays(folder / SET_FILE, arrays)
    write_truth(folder, data.ids, poisoned.poisoned_mask, poisoned.true_labels)
    recipe = {
        "format": FORMAT,
        **poisoned.recipe,
        "set_file": SET_FILE,
        "sha256": io.sha256_file(folder / SET_FILE),
    }
    if poisoned.attack is not None and (kept := poisoned.attack.keep(folder)):
        recipe["kept"] = {
            option: {"file": name, "sha256": io.sha256_file(folder / name)}
            for option, name in kept.items()
        }
    io.write_json(folder / RECIPE_FILE, recipe)
    return recipe


def read_recipe(folder: str | Path) -> dict[str, Any]:
    """Read the recipe of a poisoned set.

    Args:
        folder: written by :func:`save_poisoned`.

    Returns:
        The recipe.

    Raises:
        FileNotFoundError: the folder holds no recipe.
        ValueError: the recipe is not one of ours.
    """
    path = Path(folder) / RECIPE_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"poisoned set: expected {path}, which does not exist; "
            f"give a folder written by `fctfast poison`"
        )
    recipe = io.read_json(path)
    if not isinstance(recipe, dict) or recipe.get("format") != FORMAT:
        raise ValueError(f"poisoned set: {path} is not a recipe written by `fctfast poison`")
    return recipe


def recipe_attack(recipe: dict[str, Any], folder: str | Path | None = None) -> Attack:
    """The attack of a recipe, with its options.

    Args:
        recipe: from :func:`read_recipe` or ``Poisoned.recipe``.
        folder: the poisoned set's, for an attack that keeps something there (ssba); default none.

    Returns:
        The attack, ready to trigger a test set.

    Raises:
        FileNotFoundError: something that the attack kept is gone.
        ValueError: the recipe names no known attack, its samples were imported, or what the attack
            kept is not what it was.
    """
    if recipe.get("attack") == IMPORTED:
        raise ValueError(
            "poisoned set: its samples were imported, so the trigger for test images is not known; "
            "name the attack instead of the set (evaluate: --attack in the place of --poisoned)"
        )
    options = dict(recipe.get("options", {}))
    if folder is not None:
        for option, kept in recipe.get("kept", {}).items():
            options[option] = str(_unchanged(Path(folder) / kept["file"], kept["sha256"]))
    return get(str(recipe.get("attack")), **options)


def _unchanged(path: Path, sha256: str) -> Path:
    """A kept file, if it is there and the recipe's."""
    if not path.is_file():
        raise FileNotFoundError(
            f"poisoned set: expected {path}, which the attack's test trigger needs; copy the whole "
            "folder, or poison again with the same seed"
        )
    if (found := io.sha256_file(path)) != sha256:
        raise ValueError(
            f"poisoned set: {path} is not the file of the recipe (SHA-256 {found}, expected "
            f"{sha256}); put that one back"
        )
    return path
