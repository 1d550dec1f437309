"""Recipes: the ones that ship are the paper's, and a misspelt key is an error."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fctfast.data.statistics import CIFAR10_MEAN, CIFAR100_STD, IMAGENET_MEAN
from fctfast.defend import BaseSettings, ClassifierSettings, ExtractorSettings, RemovalSettings
from fctfast.detect import DetectSettings
from fctfast.detect.probe import ProbeSettings
from fctfast.train import FitSettings, SplitSettings, load_recipe, recipe_names

SHIPPED = ("cifar10", "cifar10-cpu", "cifar100", "digits", "imagenet-subset")


def test_five_recipes_ship() -> None:
    assert recipe_names() == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_recipe_builds_every_section(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.description.endswith(".")
    assert recipe.split.alpha_c == recipe.split.alpha_p == "auto"
    recipe.section("probe", ProbeSettings)
    recipe.section("base", BaseSettings)
    recipe.section("br", RemovalSettings)
    recipe.section("extractor", ExtractorSettings)
    recipe.section("classifier", ClassifierSettings)


def test_cifar10_has_the_published_d_st() -> None:
    recipe = load_recipe("cifar10")
    extractor = recipe.section("extractor", ExtractorSettings)
    assert (extractor.temperature, extractor.base_temperature) == (0.1, 0.07)
    assert (extractor.budget.epochs, extractor.fit.batch_size, extractor.projection) == (
        200, 512, 128,
    )  # fmt: skip
    assert (extractor.fit.sgd.lr, extractor.fit.sgd.weight_decay) == (0.5, 1e-4)
    schedule = extractor.fit.schedule
    assert (schedule.warmup_epochs, schedule.warmup_from, schedule.final) == (10, 0.01, 1e-3)
    assert (extractor.views.views, extractor.views.scale) == (2, (0.2, 1.0))
    assert extractor.views.jitter == (0.4, 0.4, 0.4, 0.1)
    assert (extractor.views.jitter_share, extractor.views.grey_share) == (0.8, 0.2)
    classifier = recipe.section("classifier", ClassifierSettings)
    assert (classifier.lambda_p, classifier.budget.epochs) == (0.001, 10)
    assert (classifier.fit.sgd.lr, classifier.fit.sgd.weight_decay) == (5.0, 0.0)
    assert (classifier.augment.views, classifier.augment.jitter_share) == (1, 0.8)


def test_cifar10_is_the_published_setting() -> None:
    recipe = load_recipe("cifar10")
    assert recipe.data.mean == CIFAR10_MEAN
    assert DetectSettings.from_recipe(recipe).probe.network.width == 64
    probe = DetectSettings.from_recipe(recipe).published().probe
    assert (probe.learn.epochs, probe.spread.epochs, probe.anchor) == (2, 10, 0)
    assert (probe.network, probe.segment) == (recipe.model, None)
    assert (probe.fit.batch_size, probe.fit.sgd.lr, probe.fit.sgd.momentum) == (128, 0.01, 0.9)
    assert probe.fit.sgd.weight_decay == 5e-4
    assert (probe.fit.schedule.name, probe.fit.schedule.t_max) == ("cosine", 100)
    base = recipe.section("base", BaseSettings)
    assert base.budget.epochs == 200
    assert (base.fit.sgd.lr, base.fit.schedule.milestones) == (0.01, (100, 150))
    assert (base.augment.crop, base.augment.flip, base.augment.rotation) == (4, True, 0)
    published = recipe.section("br", RemovalSettings).published()
    assert (published.method, published.budget.epochs) == ("alternate", 20)
    assert (published.fit.sgd.lr, published.fit.batch_size) == (1e-4, 128)
    assert (published.augment.crop, published.augment.flip) == (4, True)


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "imagenet-subset"])
def test_robust_probes_are_the_one_that_was_judged(name: str) -> None:
    judged, probe = (DetectSettings.from_recipe(r).probe for r in ("cifar10-cpu", name))
    assert replace(probe, network=judged.network, segment=judged.segment) == judged


def test_cifar100_and_imagenet_differ_as_the_paper_says() -> None:
    hundred = load_recipe("cifar100")
    assert hundred.data.std == CIFAR100_STD
    assert hundred.section("br", RemovalSettings).augment.rotation > 0
    imagenet = load_recipe("imagenet-subset")
    assert imagenet.data.mean == IMAGENET_MEAN
    assert imagenet.model.pretrained == "imagenet"
    base = imagenet.section("base", BaseSettings)
    assert (base.budget.epochs, base.fit.sgd.lr, base.fit.sgd.weight_decay) == (25, 0.001, 1e-4)
    assert base.fit.schedule.milestones == (15, 20)
    assert (base.augment.crop, base.augment.flip, base.augment.rotation) == (0, True, 20)


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("extractor: {chunk: 256, fit: {batch_size: 17000}}", {"batch_size": 17000}),
        ("extractor: {fit: {precision: bfloat16}}", {"precision": "bfloat16"}),
        ("extractor: {budget: {max_steps: 5000}}", {}),
    ],
)
def test_what_a_recipe_does_not_say_is_as_published(
    tmp_path: Path, text: str, change: dict[str, Any]
) -> None:
    published = ExtractorSettings()
    given = load_recipe(_write(tmp_path, text)).section("extractor", ExtractorSettings)
    assert given.fit == replace(published.fit, **change)
    assert given.budget.epochs == 200


def test_a_recipe_may_change_the_view_of_stage_2(tmp_path: Path) -> None:
    recipe = load_recipe(_write(tmp_path, "classifier: {augment: {scale: [0.5, 1.0]}}"))
    augment = recipe.section("classifier", ClassifierSettings).augment
    assert (augment.views, augment.scale) == (1, (0.5, 1.0))


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown recipe 'cifar11'; known: cifar10, cifar10-cpu"):
        load_recipe("cifar11")
    with pytest.raises(FileNotFoundError, match="recipe not found"):
        load_recipe("mine.yaml")


def _write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bse: {}", "recipe mine: unknown key bse; known: description, data, model, probe"),
        ("data: {limits: 3}", "recipe mine: data: unknown key limits; known: limit, image_size"),
        ("data: {mean: [1]}", "mean and std: give both or neither"),
        ("split: {alpha_c: 0.9, alpha_p: 0.2}", r"alpha_c \+ alpha_p: expected at most 1"),
        ("split: {alpha_c: 0}", r"alpha_c: expected a share in \(0, 1\)"),
        ("- a\n- b", "expected sections"),
        ("a: [", "not readable as YAML"),
        ("!!python/object/apply:os.system ['true']", "not readable as YAML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_recipe(_write(tmp_path, text))


def test_shares_may_be_auto(tmp_path: Path) -> None:
    split = load_recipe(_write(tmp_path, "split: {alpha_c: auto, alpha_p: '.1'}\n")).split
    assert (split.alpha_c, split.alpha_p) == ("auto", 0.1)
    for value, message in (
        ("all", r"alpha_p: expected a share in \(0, 1\) or auto, got all"),
        ("[0.1]", r"split\.alpha_p: expected a number or text, got \[0\.1\]"),
    ):
        with pytest.raises(ValueError, match=message):
            load_recipe(_write(tmp_path, f"split: {{alpha_p: {value}}}\n"))


def test_sections_are_strict_and_fixed_fields_win_no_fights(tmp_path: Path) -> None:
    recipe = load_recipe(_write(tmp_path, "base: {batch_size: 7}\nbr: 3\n"))
    assert recipe.section("base", FitSettings, precision="float32") == FitSettings(
        batch_size=7, precision="float32"
    )
    with pytest.raises(ValueError, match="recipe mine: base: unknown key batch_size; known:"):
        recipe.section("base", SplitSettings)
    with pytest.raises(ValueError, match="base: batch_size is set by the section model"):
        recipe.section("base", FitSettings, batch_size=8)
    with pytest.raises(ValueError, match="br: expected keys and values, got 3"):
        recipe.section("br", FitSettings)
    assert recipe.section("probe", FitSettings) == FitSettings()
