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
        ([(0.05, 0.95)], False),  # one good round is not enough
        ([(0.05, 0.95), (0.08, 0.94)], True),
        ([(0.9, 0.95), (0.05, 0.95), (0.05, 0.95)], True),
        ([(0.05, 0.95), (0.5, 0.95)], False),  # the backdoor came back
        ([(0.05, 0.90), (0.05, 0.95)], False),  # D_c had not recovered a round ago
        ([(0.05, 0.95), (0.5, 0.95), (0.05, 0.95)], False),  # not in a row
        ([], False),
    ],
)
def test_stops_after_two_good_rounds_in_a_row(
    history: list[tuple[float, float]], expected: bool
) -> None:
    rule = StopRule(kept=0.1, lost=0.02, patience=2)
    assert rule.satisfied(rounds(*history), START) is expected


def test_impossible_rules_are_refused() -> None:
    with pytest.raises(ValueError, match="kept"):
        StopRule(kept=1.5)
    with pytest.raises(ValueError, match="patience"):
        StopRule(patience=0)
