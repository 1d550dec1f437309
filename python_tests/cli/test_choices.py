from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fctfast.cli.choices import Asked

Invoke = Callable[..., Any]


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"data_dir": "photos"}, None),
        ({"data_dir": "photos", "recipe": "cifar10-cpu"}, 32),
        ({"data_dir": "digits"}, 32),
    ],
)
def test_only_a_recipe_that_was_asked_for_resizes(
    options: dict[str, Any], size: int | None
) -> None:
    chosen = Asked(**options, device="cpu").load_recipe()
    assert chosen.data.image_size == size


@pytest.mark.parametrize(("image_size", "opened"), [(24, (24, 24)), ((16, 24), (16, 24))])
def test_an_image_size_that_was_asked_for_counts(
    poisoned: Path, image_size: int | tuple[int, int], opened: tuple[int, int]
) -> None:
    asked = Asked(str(poisoned), image_size=image_size, device="cpu")
    data = asked.open(asked.load_recipe(), seed=0, workers=1, quiet=True)
    assert data.image_size == opened


def test_the_recorded_settings_of_published_are_those_that_run() -> None:
    asked = Asked("digits", "cifar10-cpu", mode="published", amp=True, width=8)
    config = asked.config(asked.load_recipe(), channels=3)
    assert config.detect == config.detect.published()
    assert config.removal == config.removal.published()
    assert config.removal.method == "alternate"
    assert config.detect.score.draws == 1
    assert config.detect.probe.fit.precision == config.detect.score.precision == "bfloat16"
    assert config.detect.probe.network.width == 8
    robust = replace(asked, mode="robust")
    assert robust.config(robust.load_recipe(), channels=3).detect.score.draws == 3


@pytest.mark.parametrize("command", ["detect", "dbr", "dst"])
@pytest.mark.parametrize(
    ("option", "fixed"), [("--draws", "draws at 1"), ("--batch-size", "batch size at 128")]
)
def test_published_takes_no_draws_and_no_batch_size(
    invoke: Invoke,
    poisoned: Path,
    tiny: Path,
    tmp_path: Path,
    command: str,
    option: str,
    fixed: str,
) -> None:
    """The published settings would overrule them in silence."""
    usual = (command, "--data-dir", poisoned, "--recipe", tiny, "--out", tmp_path / "run", "-q")
    result = invoke(*usual, "--mode", "published", option, 9)
    assert result.exit_code == 2
    assert f"{option}: --mode published fixes the {fixed}" in " ".join(result.stderr.split())
    assert "--mode robust" in result.stderr
    assert not (tmp_path / "run").exists()


def test_batch_size_reaches_probe_and_base_and_leaves_the_budget_of_removal() -> None:
    asked = Asked("digits", batch_size=48)
    recipe = asked.load_recipe()
    config = asked.config(recipe, channels=3)
    assert config.detect.probe.fit.batch_size == config.base.fit.batch_size == 48
    untouched = replace(asked, batch_size=None).config(recipe, channels=3)
    assert config.removal == untouched.removal


@pytest.mark.parametrize("command", ["detect", "dbr", "dst"])
def test_the_help_says_what_batch_size_reaches(invoke: Invoke, command: str) -> None:
    said = " ".join(invoke(command, "--help").stdout.replace("│", " ").split())
    assert "Images a step of the probe, and of the model that is trained after it" in said
