"""When has BR done enough? A rule that sees only what the defender has: D_p and D_c."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class StopRule:
    """Stop when D_p has lost its labels and D_c has its own back, several rounds in a row.

    The published code keeps the epoch with the best (test ACC - test ASR), which needs the trigger
    and a test set. Here two shares of the training data decide, measured in eval mode after each
    round: samples of D_p still predicted as their given label, and samples of D_c predicted as
    theirs. D_p's share falls with the attack's success, down to the share of clean samples that D_p
    holds by mistake, which is not known: D_p also counts as forgotten when most of it is and a
    further round changes next to nothing. Going on past that point only costs accuracy in the
    target class (CIFAR-10, lr 1e-3: .3 points of ACC a round after the sixth), so D_c need not have
    all its labels back: it is enough that relearning no longer wins any (digits: ACC .98 there,
    .84 thirty rounds later).

    Args:
        kept: share of D_p still predicted as given, at or below which it counts as forgotten: a D_p
            that is nine tenths pure keeps the labels that the model gives its clean tenth.
        plateau: smallest drop of that share in a round that still counts as progress.
        lost: largest drop of D_c's share below its value before BR; a larger one counts as
            recovered when a round that began with D_p forgotten did not raise D_c's share.
        patience: rounds in a row that must be good: an unlearnt backdoor can come back.

    Source: DESIGN section 4, "model selection"; issue 2, section 5.
    """

    kept: float = 0.08
    plateau: float = 0.03
    lost: float = 0.02
    patience: int = 1

    def __post_init__(self) -> None:
        for name in ("kept", "plateau", "lost"):
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
        every = [start, *rounds]
        good = [self._good(now, before, start) for before, now in itertools.pairwise(every)]
        return len(good) >= self.patience and all(good[-self.patience :])

    def _good(self, now: dict[str, Any], before: dict[str, Any], start: dict[str, float]) -> bool:
        gone = now["dp_kept"] <= self.kept
        most_gone = now["dp_kept"] <= start["dp_kept"] / 2
        still = abs(before["dp_kept"] - now["dp_kept"]) <= self.plateau
        recovered = now["dc_kept"] >= start["dc_kept"] - self.lost
        # Of a round that began with D_p forgotten: one that forgets it may cost D_c something.
        stuck = before["dp_kept"] <= self.kept and now["dc_kept"] <= before["dc_kept"]
        return bool((gone or (most_gone and still)) and (recovered or stuck))
