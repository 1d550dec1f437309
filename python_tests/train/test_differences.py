"""Settings are compared key by key."""

from __future__ import annotations

from fctfast.train.differences import differing_keys, flatten


def test_nested_settings_get_dotted_keys() -> None:
    assert flatten({"a": {"b": [1, {"c": 2}]}, "d": None}) == {
        "a.b.0": 1,
        "a.b.1.c": 2,
        "d": None,
    }


def test_differences_name_key_and_both_values() -> None:
    there = {"base": {"lr": 0.1}, "seed": 0, "only": "there"}
    now = {"base": {"lr": 0.01}, "seed": 0, "new": 1}
    assert differing_keys(there, now) == [
        "base.lr (0.1 there, 0.01 now)",
        "new (nothing there, 1 now)",
        "only (there there, nothing now)",
    ]
    assert differing_keys(there, there) == []


def test_a_setting_that_one_side_does_not_know_was_off_there() -> None:
    for off in (0, 0.0, False, None):
        assert differing_keys({"seed": 1}, {"seed": 1, "new": off}) == []
        assert differing_keys({"seed": 1, "old": off}, {"seed": 1}) == []
    assert differing_keys({"rates": [0.5]}, {"rates": [0.5, 0]}) == [
        "rates.1 (nothing there, 0 now)"
    ]
    assert differing_keys({}, {"name": ""}) == ["name (nothing there,  now)"]
    assert differing_keys({"on": 0}, {"on": None}) == ["on (0 there, None now)"]
    assert differing_keys({"on": 0}, {"on": 2}) == ["on (0 there, 2 now)"]
