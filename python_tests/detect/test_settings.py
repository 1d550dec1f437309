"""Facts about the settings of the SD module."""

from __future__ import annotations

from dataclasses import replace

from fctfast.detect import DetectSettings, ProbeSettings


def test_published_is_the_papers_budget_one_draw_no_guards(small_settings: DetectSettings) -> None:
    cut = replace(small_settings, probe=replace(small_settings.probe, segment=4))
    published = cut.published()
    assert published.probe.segment is None
    assert published.probe.network == small_settings.probe.network
    assert (published.probe.learn.epochs, published.probe.spread.epochs) == (2, 10)
    fit = published.probe.fit
    assert (fit.batch_size, fit.sgd.lr, fit.sgd.momentum, fit.sgd.weight_decay) == (
        128,
        0.01,
        0.9,
        5e-4,
    )
    assert (fit.schedule.name, fit.schedule.t_max) == ("cosine", 100)
    assert published.score.draws == 1
    assert published.snapshots == 1
    assert not published.recompute_batch_norm
    assert ProbeSettings() == ProbeSettings(
        learn=published.probe.learn, spread=published.probe.spread, fit=fit
    )


def test_without_a_recipe_the_probe_is_the_judged_one_and_statistics_are_the_datas() -> None:
    usual, recipe = DetectSettings.default(), DetectSettings.from_recipe("cifar10-cpu")
    assert usual.probe == recipe.probe
    assert usual.probe.anchor > 0
    assert (usual.mean, usual.std) == (None, None)
    assert replace(usual, mean=recipe.mean, std=recipe.std) == recipe
