"""When has BR done enough? A rule that sees only what the defender has: D_p and D_c."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class StopRule:
    """Stop when D_p has lost its labels and D_c has its own back, several rounds in a row.

    The published code keeps the epoch with the best (test ACC - test ASR), which needs the trigger
    and a test set. Here two shares of the training data decide, measured in eval mode after each
    round: samples of D_p still predicted as their given label, and samples of D_c predicted as
    theirs. An unlearnt backdoor can come back during the next relearning, so one good round is not
    enough.

    Args:
        kept: share of D_p still predicted as given, at or below which it counts as forgotten.
        lost: largest drop of D_c's share below its value before BR.
        patience: rounds in a row that must satisfy both.

    Source: DESIGN section 4, "model selection"; issue 2, section 5.
    """

    kept: float = 0.1
    lost: float = 0.02
    patience: int = 2

    def __post_init__(self) -> None:
        for name in ("kept", "lost"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name}: expected a share in [0, 1], got {getattr(self, name)}")
        if self.patience < 1:
            raise ValueError(f"patience: expected at least 1 round, got {self.patience}")

    def satisfied(self, rounds: Sequence[dict[str, Any]], start: dict[str, float]) -> bool:
        """Decide after a round.

        Args:
            rounds: records of the finished rounds, oldest first, with `dp_kept` and `dc_kept`.
            start: the same two shares before BR.

        Returns:
            True to stop.
        """
        recent = rounds[-self.patience :]
        return len(recent) == self.patience and all(
            r["dp_kept"] <= self.kept and r["dc_kept"] >= start["dc_kept"] - self.lost
            for r in recent
        )
