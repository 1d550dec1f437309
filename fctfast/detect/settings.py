"""The SD module written down."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from fctfast.detect.fct import FctSettings
from fctfast.detect.probe import ProbeSettings
from fctfast.detect.shares import AUTO, Share, check_shares
from fctfast.detect.transforms import check_names
from fctfast.train.recipes import Recipe, load_recipe


@dataclass(frozen=True)
class DetectSettings:
    """The SD module written down.

    Args:
        probe: network and budgets.
        score: draws, batch size, precision; its tau becomes the first of `transforms`.
        transforms: names of tau, each of which scores the probe's moments.
        snapshots: last moments of the probe; the most telling pair of a moment and a tau counts.
        per_class: samples of each label on which they are compared; the pair that counts then
            scores the whole set.
        recompute_batch_norm: score with recomputed statistics.
        alpha_c: share taken as clean, or "auto", the default: as much as looks clean, or .2 in
            published mode (see :mod:`fctfast.detect.shares`).
        alpha_p: share taken as poisoned, or "auto", the default: what looks poisoned, or .05 in
            published mode.
        mean: normalisation; default: that of the images.
        std: normalisation; given if and only if mean is.
    """

    probe: ProbeSettings = field(default_factory=ProbeSettings)
    score: FctSettings = field(default_factory=lambda: FctSettings(over_draws="geometric"))
    transforms: tuple[str, ...] = ("rotate+affine", "flip+crop")
    snapshots: int = 8
    per_class: int = 400
    recompute_batch_norm: bool = True
    alpha_c: Share = AUTO
    alpha_p: Share = AUTO
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else tuple(value))
        object.__setattr__(self, "transforms", check_names(self.transforms))
        given = self.score.transform
        if given not in (FctSettings().transform, *self.transforms):
            raise ValueError(
                f"score.transform: {given!r} is none of transforms, {', '.join(self.transforms)}; "
                f"say transforms=({given!r},) to score with it alone"
            )
        object.__setattr__(self, "score", replace(self.score, transform=self.transforms[0]))
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
            score=replace(cls().score, draws=recipe.split.draws),
            transforms=recipe.split.transforms,
            snapshots=recipe.split.snapshots,
            recompute_batch_norm=recipe.split.recompute_batch_norm,
            alpha_c=recipe.split.alpha_c,
            alpha_p=recipe.split.alpha_p,
            mean=recipe.data.mean,
            std=recipe.data.std,
        )

    @classmethod
    def default(cls) -> DetectSettings:
        """Those of the recipe `cifar10-cpu`, which was judged, but for CIFAR's normalisation.

        `DetectSettings()` has the paper's budgets, after which the probe may have fallen apart.
        """
        return replace(cls.from_recipe("cifar10-cpu"), mean=None, std=None)

    def under(self, *transforms: str) -> DetectSettings:
        """The same with other taus.

        Args:
            transforms: names of tau, at least one.

        Raises:
            ValueError: an unknown one, one twice, or none.
        """
        names = check_names(transforms)
        return replace(self, transforms=names, score=replace(self.score, transform=names[0]))

    def published(self) -> DetectSettings:
        """The published SD on the same network: its budgets, one draw of one tau, no guards.

        Source: docs/method.md, "Where paper and published code disagree".
        """
        plain = ProbeSettings()
        return replace(
            self,
            probe=replace(
                self.probe,
                learn=plain.learn,
                spread=plain.spread,
                anchor=plain.anchor,
                fit=replace(plain.fit, precision=self.probe.fit.precision),
                segment=None,
            ),
            score=replace(self.score, draws=1, over_draws="mean"),
            transforms=self.transforms[:1],
            snapshots=1,
            recompute_batch_norm=False,
        )
