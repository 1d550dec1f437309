"""Settings from plain mappings: strict about keys and types."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fctfast.defend import RemovalSettings
from fctfast.detect import ProbeSettings
from fctfast.train import Budget, FitSettings, ScheduleSettings, SGDSettings
from fctfast.train.strict import build


def test_nested_settings_are_built_and_defaults_stay() -> None:
    raw = {
        "batch_size": 64,
        "sgd": {"lr": 1, "clip_norm": None},
        "schedule": {"milestones": [3, 5]},
    }
    assert build(FitSettings, raw, "x") == FitSettings(
        batch_size=64, sgd=SGDSettings(lr=1.0), schedule=ScheduleSettings(milestones=(3, 5))
    )
    assert build(FitSettings, None, "x") == FitSettings()
    assert build(FitSettings, {"sgd": SGDSettings(lr=2.0)}, "x").sgd.lr == 2.0


def test_what_a_part_does_not_mention_is_the_outer_default() -> None:
    usual = RemovalSettings()
    part = build(RemovalSettings, {"fit": {"batch_size": 64, "sgd": {"lr": 1}}}, "x")
    sgd = replace(usual.fit.sgd, lr=1.0)
    assert part == replace(usual, fit=replace(usual.fit, batch_size=64, sgd=sgd))
    assert part.fit.schedule.name == "cosine"
    assert build(RemovalSettings, {"augment": {"flip": False}}, "x").augment.crop == 4
    assert build(RemovalSettings, {"fit": None, "budget": {}}, "x") == usual
    # A name decides what the rest means, so that nothing of another schedule stays.
    named = build(ProbeSettings, {"fit": {"schedule": {"name": "cosine"}}}, "x").fit.schedule
    assert ProbeSettings().fit.schedule.t_max is not None
    assert named == ScheduleSettings("cosine")


def test_yaml_reads_5e_minus_4_as_text_and_we_as_a_number() -> None:
    assert build(SGDSettings, {"lr": "5e-4"}, "x").lr == 0.0005


@pytest.mark.parametrize(
    ("kind", "raw", "message"),
    [
        (SGDSettings, {"learning_rate": 1}, "x: unknown key learning_rate; known: lr, momentum"),
        (FitSettings, {"sgd": {"a": 1, "b": 2}}, r"x\.sgd: unknown keys a, b; known: lr"),
        (SGDSettings, {"lr": "fast"}, r"x\.lr: expected a number, got 'fast'"),
        (SGDSettings, {"lr": True}, r"x\.lr: expected a number, got True"),
        (SGDSettings, {"nesterov": 1}, r"x\.nesterov: expected true or false, got 1"),
        (Budget, {"epochs": 2.5}, r"x\.epochs: expected a whole number, got 2.5"),
        (Budget, {"epochs": True}, r"x\.epochs: expected a whole number, got True"),
        (ScheduleSettings, {"name": 3}, r"x\.name: expected text, got 3"),
        (ScheduleSettings, {"milestones": 3}, r"x\.milestones: expected a list, got 3"),
        (ScheduleSettings, {"milestones": [1, "b"]}, r"x\.milestones\[1\]: expected a whole"),
        (SGDSettings, {"lr": -1}, "x: lr: expected more than 0"),
        (SGDSettings, [1], "x: expected keys and values"),
    ],
)
def test_mistakes_are_named(kind: Any, raw: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(kind, raw, "x")
