"""The study of SD, first half: train probes and keep what they show at every moment.

A case is a data set, an attack (or none), a rate, a target, a seed and a way to train the probe.
Its folder gets one file a moment: the features of a sample of the set and of its transformed
selves, from which `sd_rows.py` computes every candidate statistic without another forward
pass. A killed case goes on where it was; moments that are there are not made again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import fctfast
from fctfast import attacks, io
from fctfast.data import ImageSet
from fctfast.detect.batch_norm import keep_statistics, recompute_batch_norm, statistics_batches
from fctfast.detect.probe import describe, train_probe
from fctfast.detect.scoring import normalisation
from fctfast.detect.settings import DetectSettings
from fctfast.detect.split import ALPHA_C, ALPHA_P
from fctfast.detect.transforms import parse
from fctfast.seeding import permutation
from fctfast.train import Budget, Progress
from fctfast.train.inference import evaluating

SAMPLE = 4000
"""Samples of a set that the study looks at; all that is computed from them is a share or a mean."""

DRAWS = 6
PAPER = "rotate+affine"
CLEAN = "none"
FORMAT = "fctfast-sd-moment-1"
EARLIER = "one-pass"
WHOLE = "whole"
RECIPES = {"cifar10": "cifar10-cpu", "digits": "digits", "fashion-mnist": "cifar10-cpu"}


@dataclass(frozen=True)
class Case:
    """One probe of the study.

    Args:
        data: a key of RECIPES.
        attack: name of an attack, or "none" for the unpoisoned set.
        rate: share of the eligible samples that is poisoned.
        target: the target class.
        seed: chooses the samples and the poisoned ones, and keys the probe.
        mode: "robust" (the recipe's budgets), "published", or EARLIER: robust as it was at first,
            L_intra without cross-entropy beside it and a third as long; WHOLE is robust as
            the recipe `cifar10` has it, with its wider network.
        limit: samples of the set; None is the recipe's.
    """

    data: str
    attack: str
    rate: float
    target: int
    seed: int
    mode: str = "robust"
    limit: int | None = None

    @property
    def name(self) -> str:
        """Folder name, and the key of its rows in the results."""
        share = "" if self.attack == CLEAN else f"-{100 * self.rate:g}pc-t{self.target}"
        size = "" if self.limit is None else f"-n{self.limit}"
        return f"{self.data}-{self.attack}{share}-s{self.seed}{size}-{self.mode}"


def open_clean(case: Case, source: str) -> ImageSet:
    """Open a case's set as it is before the attack.

    Args:
        case: which.
        source: path or name of the data.
    """
    recipe = fctfast.train.recipes.load_recipe(RECIPES[case.data])
    return fctfast.open_dataset(
        source,
        limit=case.limit or recipe.data.limit,
        seed=case.seed,
        image_size=recipe.data.image_size,
    )


def open_case(case: Case, source: str) -> tuple[ImageSet, Tensor]:
    """Open and poison a case's set.

    Args:
        case: which.
        source: path or name of the data.

    Returns:
        The set as a victim gets it, and bool [N], True where poisoned.
    """
    clean = open_clean(case, source)
    if case.attack == CLEAN:
        return clean, torch.zeros(len(clean), dtype=torch.bool)
    made = attacks.poison(
        clean, attacks.get(case.attack), rate=case.rate, target=case.target, seed=case.seed
    )
    return made.image_set, made.poisoned_mask


def settings_of(case: Case) -> DetectSettings:
    """The settings of a case's probe: the recipe's, or the published ones; the paper's shares."""
    settings = DetectSettings.from_recipe("cifar10" if case.mode == WHOLE else RECIPES[case.data])
    settings = replace(settings, alpha_c=ALPHA_C, alpha_p=ALPHA_P)
    if case.data == "fashion-mnist":
        settings = replace(settings, mean=None, std=None)
    if case.mode == "published":
        return settings.published()
    if case.mode == EARLIER:
        spread = settings.probe.spread
        shorter = Budget(spread.epochs // 3, spread.min_steps // 3)
        return replace(settings, probe=replace(settings.probe, anchor=0.0, spread=shorter))
    return settings


def finer_settings(case: Case) -> DetectSettings:
    """Those of :func:`settings_of`, with moments enough to see how the scores come and go."""
    settings = settings_of(case)
    if case.data != "digits" or case.mode == "published":
        return settings
    probe = replace(settings.probe, segment=16, spread=Budget(epochs=2))
    return replace(settings, probe=probe)


@torch.inference_mode()
def observe(
    model: nn.Module,
    data: ImageSet,
    *,
    mean: Any,
    std: Any,
    seed: int,
    draws: int,
    transform: str = PAPER,
) -> tuple[Tensor, Tensor]:
    """Features and logits of the samples and of `draws` transformed selves.

    Args:
        model: the probe.
        data: N samples.
        mean: per channel.
        std: per channel.
        seed: key of tau.
        draws: K.
        transform: tau.

    Returns:
        float32 [1 + K, N, D] and [1 + K, N, classes], the untransformed samples first.
    """
    tau = parse(transform).draw(data.ids, seed=seed, draws=draws, size=data.image_size)
    features, logits = [], []
    with evaluating(model):
        for start in range(0, len(data), 32):
            rows = slice(start, min(start + 32, len(data)))
            views = tau.views(data.images[rows], rows, mean, std)
            seen = model.features(views)
            features.append(seen.reshape(1 + draws, rows.stop - start, -1))
            logits.append(model.classify(seen).reshape(1 + draws, rows.stop - start, -1))
    return torch.cat(features, 1), torch.cat(logits, 1)


def collect(case: Case, source: str, work: Path, progress: Progress | None = None) -> Path:
    """Train a case's probe and keep every moment.

    Args:
        case: which.
        source: path or name of the data.
        work: folder of all cases.
        progress: where to report.

    Returns:
        The case's folder: `case.json`, `truth.safetensors`, `moment-STEP.safetensors`,
        `weights-STEP.safetensors`.
    """
    folder = work / case.name
    folder.mkdir(parents=True, exist_ok=True)
    data, poisoned = open_case(case, source)
    settings = finer_settings(case)
    mean, std = normalisation(data, None, settings.mean, settings.std)
    kept = permutation(len(data), case.seed, "sd-study")[:SAMPLE].sort().values
    sample = data.select(kept)
    io.write_tensors(
        folder / "truth.safetensors",
        {"ids": sample.ids, "labels": sample.labels, "poisoned": poisoned[kept]},
        {"classes": str(data.num_classes), "samples": str(len(data))},
    )
    record = {"case": asdict(case), "probe": asdict(settings.probe), "draws": DRAWS}
    io.write_json(folder / "case.json", json.loads(json.dumps(record)))

    def keep(model: nn.Module, end: dict[str, Any]) -> None:
        path = folder / f"moment-{end['step']:05d}.safetensors"
        if path.exists():
            return
        facts = {name: end[name] for name in ("step", "stage", "loss", "accuracy", "seconds")}
        tensors = {}
        with keep_statistics(model):
            running = observe(model, sample, mean=mean, std=std, seed=case.seed, draws=1)
            tensors["running_features"], tensors["running_logits"] = running
            if case.mode != "published":
                batches = statistics_batches(data, mean=mean, std=std, seed=case.seed, device="cpu")
                recompute_batch_norm(model, batches)
                fresh = observe(model, sample, mean=mean, std=std, seed=case.seed, draws=DRAWS)
                tensors["features"], tensors["logits"] = fresh
            io.write_tensors(
                folder / f"weights-{end['step']:05d}.safetensors", dict(model.state_dict())
            )
        io.write_tensors(path, tensors, {"format": FORMAT, "facts": json.dumps(facts)})

    train_probe(
        data,
        settings.probe,
        mean=mean,
        std=std,
        seed=case.seed,
        checkpoint=folder / "probe-state.safetensors",
        on_pass=lambda end: keep(end.model, end.record),
        progress=progress,
        device="cpu",
    )
    return folder


def observe_again(folder: Path, source: str, transform: str, draws: int = DRAWS) -> None:
    """Look at the kept moments of a case under another tau.

    Args:
        folder: written by :func:`collect`; gets `under-TRANSFORM-STEP.safetensors`.
        source: path or name of the data.
        transform: tau.
        draws: K.
    """
    case = Case(**io.read_json(folder / "case.json")["case"])
    data, _ = open_case(case, source)
    settings = settings_of(case)
    mean, std = normalisation(data, None, settings.mean, settings.std)
    kept, _ = io.read_tensors(folder / "truth.safetensors")
    sample = data.select(data.positions(kept["ids"]))
    probe = describe(settings.probe.network, data, mean, std).build(seed=0)
    for weights in sorted(folder.glob("weights-*.safetensors")):
        step = weights.stem.removeprefix("weights-")
        path = folder / f"under-{transform}-{step}.safetensors"
        if path.exists():
            continue
        probe.load_state_dict(io.read_tensors(weights)[0])
        probe.to(memory_format=torch.channels_last)
        seen = observe(
            probe, sample, mean=mean, std=std, seed=case.seed, draws=draws, transform=transform
        )
        io.write_tensors(
            path, dict(zip(("features", "logits"), seen, strict=True)), {"format": FORMAT}
        )
