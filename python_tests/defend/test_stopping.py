"""Facts about the stopping rule."""

from __future__ import annotations

import pytest

from fctfast.defend import StopRule

START = {"dp_kept": 0.98, "dc_kept": 0.95}


def rounds(*pairs: tuple[float, float]) -> list[dict[str, float]]:
    return [{"dp_kept": p, "dc_kept": c} for p, c in pairs]


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([(0.04, 0.95)], True),
        ([(0.04, 0.90)], False),  # D_c has not recovered
        ([(0.9, 0.95)], False),
        ([(0.9, 0.95), (0.2, 0.95)], False),  # still falling
        ([(0.9, 0.95), (0.2, 0.95), (0.18, 0.95)], True),  # the rest of D_p is clean
        ([(0.9, 0.95), (0.2, 0.95), (0.5, 0.95)], False),  # the backdoor came back
        ([(0.97, 0.95), (0.96, 0.95)], False),  # a plateau before anything was forgotten
        ([(0.04, 0.90), (0.04, 0.92)], False),  # D_c is still recovering
        ([(0.04, 0.90), (0.04, 0.90)], True),  # D_c will not recover further
        ([(0.90, 0.92), (0.04, 0.90)], False),  # the round that forgot D_p may cost D_c something
        ([], False),
    ],
)
def test_stops_once_d_p_is_forgotten_and_d_c_is_not(
    history: list[tuple[float, float]], expected: bool
) -> None:
    rule = StopRule(kept=0.05, plateau=0.03, lost=0.02)
    assert rule.satisfied(rounds(*history), START) is expected


def test_patience_asks_for_good_rounds_in_a_row() -> None:
    rule = StopRule(patience=2)
    assert not rule.satisfied(rounds((0.04, 0.95)), START)
    assert rule.satisfied(rounds((0.04, 0.95), (0.03, 0.95)), START)
    assert not rule.satisfied(rounds((0.04, 0.95), (0.5, 0.95), (0.04, 0.95)), START)


def test_impossible_rules_are_refused() -> None:
    with pytest.raises(ValueError, match="kept"):
        StopRule(kept=1.5)
    with pytest.raises(ValueError, match="patience"):
        StopRule(patience=0)
