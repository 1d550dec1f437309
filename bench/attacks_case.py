"""One case of `attacks_table.py`: the set, the base model, the audit and D-BR."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dbr_study import curve
from plan_runs import commit
from sd_audits import purity
from sd_moments import RECIPES, Case, open_clean
from torch import Tensor, nn

import fctfast
from fctfast import attacks
from fctfast.attacks.poisoning import RATE_OF
from fctfast.data import ImageSet
from fctfast.defend import DBRConfig, parts, train_base
from fctfast.defend.given import with_paper_share
from fctfast.detect import Detection, detect
from fctfast.detect.scoring import normalisation
from fctfast.detect.shares import AUTO, PAPER
from fctfast.report import evaluate
from fctfast.report.metrics import auroc
from fctfast.train import make_progress
from fctfast.train.versions import versions


class Bench:
    """One case: its sets, its base model, and the folder it resumes in.

    Args:
        case: which.
        source: path or name of the data.
        work: folder of all cases.
        test_images: how many test images measure a network; None is all.
    """

    def __init__(self, case: Case, source: str, work: Path, test_images: int | None) -> None:
        self.case, self.folder = case, work / case.name
        self.resumed = self.folder.exists()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config = DBRConfig.from_recipe(RECIPES[case.data])
        self.progress = make_progress(quiet=False)
        self.seconds: dict[str, float] = {}
        self.clean = open_clean(case, source)
        self.test = fctfast.open_dataset(
            source, split="test", limit=test_images, seed=case.seed,
            image_size=self.config.image_size,
        )  # fmt: skip

    def prepared(self, name: str) -> attacks.Attack:
        """An attack that can put its trigger on training and test images."""
        return attacks.get(name).prepared(
            self.clean, target=self.case.target, seed=self.case.seed, progress=self.progress
        )

    def base_model(self, data: ImageSet) -> nn.Module:
        """Train on a set as D-BR would, or go on with it."""
        detection = self.config.detect
        self.mean, self.std = normalisation(data, None, detection.mean, detection.std)
        model, fitted = train_base(
            data, self.config.base, mean=self.mean, std=self.std, seed=self.case.seed,
            checkpoint=self.folder / "base-state.safetensors", progress=self.progress,
        )  # fmt: skip
        self.seconds["base"] = sum(record["seconds"] for record in fitted.history)
        return model

    def measure(self, model: nn.Module, attack: attacks.Attack) -> dict[str, Any]:
        """ACC and ASR on the test images."""
        return evaluate(model, self.test, attack, self.case.target, mean=self.mean, std=self.std)

    def described(self) -> dict[str, Any]:
        """What every row says of itself."""
        return {
            "case": asdict(self.case),
            "settings": asdict(self.config),
            "samples": len(self.clean),
            "test_images": len(self.test),
            "seconds": self.seconds,
            "resumed": self.resumed,
            "commit": commit(),
            "load_average": os.getloadavg()[1],
            "versions": versions(),
        }

    def without_poison(self, row: dict[str, Any]) -> dict[str, Any]:
        """Measure the clean network under each trigger that the row does not have."""
        missing = not_measured(row)
        ready = {name: self.prepared(name) for name in missing}
        model = self.base_model(self.clean)
        seen = {name: self.measure(model, attack) for name, attack in ready.items()}
        return {**self.described(), "clean": {**row.get("clean", {}), **seen}}

    def attacked(self, *, only_base: bool) -> dict[str, Any]:
        """Poison, train the base model, and unless that is all: audit and repair."""
        case, begun = self.case, time.monotonic()
        attack = self.prepared(case.attack)
        made = attacks.poison(
            self.clean, attack, rate=case.rate, target=case.target, seed=case.seed,
            progress=self.progress,
        )  # fmt: skip
        self.seconds["poison"] = time.monotonic() - begun
        model = self.base_model(made.image_set)
        row: dict[str, Any] = {
            "kind": attack.kind,
            "rate_of": RATE_OF[attack.kind],
            "poisoned": int(made.poisoned_mask.sum()),
            "base": self.measure(model, attack),
            "measured": made.recipe.get("measured"),  # of the encoder of ssba
        }
        if not only_base:
            data, begun = made.image_set, time.monotonic()
            found = detect(
                data, mode=case.mode, settings=self.config.detect, seed=case.seed,
                out=self.folder / "audit", progress=self.progress,
            )  # fmt: skip
            self.seconds["audit"] = time.monotonic() - begun
            row["audit"] = self.audited(found, data, made.poisoned_mask)
            begun = time.monotonic()
            row["repair"] = self.repaired(found, data, model, attack)
            self.seconds["repair"] = time.monotonic() - begun  # the measuring is in it
        return {**self.described(), **row}

    def audited(self, found: Detection, data: ImageSet, poisoned: Tensor) -> dict[str, Any]:
        """The audit against the truth."""
        scores = found.scores
        truth = dict(zip(data.ids.tolist(), poisoned.tolist(), strict=True))
        splits = {"auto": found.resplit(AUTO, AUTO), "paper": found.resplit(*PAPER)}
        return {
            "verdict": found.verdict.summary(),
            "rate": None if found.rate is None else found.rate.summary(),
            "auroc": auroc(scores.suspicion, poisoned[data.positions(scores.ids)]),
            "step": found.settings["step"],
            "transform": found.settings["score"]["transform"],
        } | {name: purity(split, truth) for name, split in splits.items()}

    def repaired(
        self, found: Detection, data: ImageSet, model: nn.Module, attack: attacks.Attack
    ) -> dict[str, Any]:
        """D-BR as it would run by itself."""
        found, paper_share = with_paper_share(found)
        split = found.split
        known, poisoned = parts(data, split)
        removal = self.config.removal
        passes = curve(
            model, removal.stages(known, poisoned), known, poisoned, removal.fit, self.test, attack,
            target=self.case.target, mean=self.mean, std=self.std, seed=self.case.seed,
            checkpoint=self.folder / "repair-state.safetensors",
        )  # fmt: skip
        return {
            "paper_share": paper_share,
            "alpha_c": split.alpha_c,
            "alpha_p": split.alpha_p,
            "d_p": int(poisoned.sum()),
            "d_c": int((~poisoned).sum()),
            "curve": passes,
        }


def not_measured(row: dict[str, Any]) -> list[str]:
    """Triggers that the row of a clean network does not have, such as those of new attacks."""
    return [name for name in attacks.names() if name not in row.get("clean", {})]
