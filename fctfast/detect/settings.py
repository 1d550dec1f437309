"""The SD module written down."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from fctfast.detect.fct import FctSettings
from fctfast.detect.probe import ProbeSettings
from fctfast.detect.shares import Share, check_shares
from fctfast.train.recipes import Recipe, load_recipe


@dataclass(frozen=True)
class DetectSettings:
    """The SD module written down.

    Args:
        probe: network and budgets.
        score: tau, draws, batch size, precision.
        snapshots: last passes of the probe that are compared; the most telling one counts.
        per_class: samples of each label on which they are compared; the one that counts then
            scores the whole set.
        recompute_batch_norm: score with recomputed statistics.
        alpha_c: share taken as clean, or "auto" (see :mod:`fctfast.detect.shares`).
        alpha_p: share taken as poisoned, likewise.
        mean: normalisation; default: that of the images.
        std: normalisation; given if and only if mean is.
    """

    probe: ProbeSettings = field(default_factory=ProbeSettings)
    score: FctSettings = field(default_factory=lambda: FctSettings(over_draws="geometric"))
    snapshots: int = 8
    per_class: int = 400
    recompute_batch_norm: bool = True
    alpha_c: Share = 0.2
    alpha_p: Share = 0.05
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else tuple(value))
        if self.snapshots < 1:
            raise ValueError(f"snapshots: expected at least 1, got {self.snapshots}")
        if self.per_class < 1:
            raise ValueError(f"per_class: expected at least 1, got {self.per_class}")
        check_shares(self.alpha_c, self.alpha_p)

    @classmethod
    def from_recipe(cls, recipe: Recipe | str | Path) -> DetectSettings:
        """Take the sections `data`, `model`, `probe` and `split` of a recipe.

        Args:
            recipe: a recipe, its name or its file.

        Raises:
            ValueError: an unknown name or key.
        """
        recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
        return cls(
            probe=recipe.section("probe", ProbeSettings, network=recipe.model),
            score=replace(cls().score, draws=recipe.split.draws, transform=recipe.split.transform),
            snapshots=recipe.split.snapshots,
            recompute_batch_norm=recipe.split.recompute_batch_norm,
            alpha_c=recipe.split.alpha_c,
            alpha_p=recipe.split.alpha_p,
            mean=recipe.data.mean,
            std=recipe.data.std,
        )

    def published(self) -> DetectSettings:
        """The published SD on the same network: its budgets, one draw, no guards.

        Source: DESIGN section 4, last column of the table.
        """
        plain = ProbeSettings()
        return replace(
            self,
            probe=replace(
                self.probe,
                learn=plain.learn,
                spread=plain.spread,
                fit=replace(plain.fit, precision=self.probe.fit.precision),
                segment=None,
            ),
            score=replace(self.score, draws=1, over_draws="mean"),
            snapshots=1,
            recompute_batch_norm=False,
        )
