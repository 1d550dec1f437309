"""The runs of `tables.py`: the losses of each, what else is not the recipe's, and its settings."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sd_moments import RECIPES, Case

from fctfast.defend import DSTConfig
from fctfast.detect.shares import MAX_CLEAN
from fctfast.train import Budget

EXTRACTORS = ("ss-ctl", "ctl", "s-ctl")
CLASSIFIERS = ("mce", "ce")
LAMBDAS = (0.0, 0.001, 0.01, 0.1, 1.0)


@dataclass(frozen=True)
class Run:
    """The losses of a run, and what else is not the recipe's.

    Args:
        extractor: loss of stage 1.
        classifier: loss of stage 2.
        lambda_p: weight of D_p in it.
        alpha_c: share of the set in D_c.
        crop: least share of an image that a view of stage 1 shows.
        epochs: of stage 1.
    """

    extractor: str
    classifier: str
    lambda_p: float | None = None
    alpha_c: float | None = None
    crop: float | None = None
    epochs: int | None = None

    @property
    def stage1(self) -> str:
        """Name of the extractor's folder: runs that differ in stage 2 alone share it."""
        return self.extractor + self._of_stage1

    @property
    def _of_stage1(self) -> str:
        given = {"dc": self.alpha_c, "crop": self.crop, "epochs": self.epochs}
        return "".join(f"-{name}{it:g}" for name, it in given.items() if it is not None)

    @property
    def name(self) -> str:
        """Of its row, behind the set's."""
        weight = "" if self.lambda_p is None else f"-lambda{self.lambda_p:g}"
        return f"{self.extractor}-{self.classifier}{weight}{self._of_stage1}"


def runs_of(plan: str, crop: float | None = None, epochs: int | None = None) -> list[Run]:
    """Runs of each set of a plan; with `crop` or `epochs`, all of them so."""
    return [replace(run, crop=crop, epochs=epochs) for run in _usual_runs(plan)]


def _usual_runs(plan: str) -> list[Run]:
    if plan == "lambda":
        return [Run("ss-ctl", "mce", value) for value in LAMBDAS]
    if plan == "clean":  # as it is, and as somebody would run it who knows that it is clean
        return [Run("ss-ctl", "mce"), Run("ss-ctl", "mce", alpha_c=MAX_CLEAN), Run("s-ctl", "ce")]
    return [Run(e, c) for e in EXTRACTORS for c in CLASSIFIERS]


def config_of(case: Case, run: Run) -> DSTConfig:
    """Settings of one run: the recipe's, with what the run says."""
    config = DSTConfig.from_recipe(RECIPES[case.data])
    first = replace(config.extractor, learning=run.extractor)
    if run.crop is not None:
        first = replace(first, views=replace(first.views, scale=(run.crop, 1.0)))
    if run.epochs is not None:
        first = replace(first, budget=Budget(run.epochs))
    second = replace(config.classifier, loss=run.classifier)
    if run.lambda_p is not None:
        second = replace(second, lambda_p=run.lambda_p)
    found = config.detect
    if run.alpha_c is not None:
        found = replace(found, alpha_c=run.alpha_c)
    return replace(config, detect=found, extractor=first, classifier=second)
