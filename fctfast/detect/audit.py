"""`detect`: the audit of a set: probe, FCT scores, split, verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fctfast.data import ImageSet
from fctfast.detect.detection import Detection
from fctfast.detect.probe import describe, train_probe
from fctfast.detect.scores import PathLike, Scores
from fctfast.detect.scoring import as_image_set, normalisation
from fctfast.detect.settings import DetectSettings
from fctfast.detect.snapshots import Snapshot, most_telling, read_result, take_snapshot
from fctfast.detect.split import split_scores
from fctfast.detect.verdict import judge
from fctfast.train import Progress, resolve_device
from fctfast.train.recipes import Recipe, load_recipe

MODES = ("robust", "published")


def detect(
    data: Any,
    *,
    mode: str = "robust",
    recipe: Recipe | PathLike | None = None,
    settings: DetectSettings | None = None,
    seed: int = 0,
    alpha_c: float | None = None,
    alpha_p: float | None = None,
    draws: int | None = None,
    transform: str | None = None,
    device: str | torch.device = "auto",
    progress: Progress | None = None,
    out: PathLike | None = None,
) -> Detection:
    """Audit a set of labelled images for poisoned samples.

    A probe is trained on the set as it is, each sample is scored by how far a random rotation and
    shift throws its features, and the set is split by score. Only images and labels are read.

    Args:
        data: an ImageSet, what :func:`~fctfast.data.open_dataset` takes, or a map-style dataset.
        mode: "robust" (guards; the default) or "published" (the paper's code, no guards).
        recipe: settings by name ("cifar10", "digits", ...) or from a YAML file; it also says how
            many images of a path are read, and at which size.
        settings: the same as an object; default :class:`DetectSettings`, the paper's budgets.
            "published" takes only the network, the normalisation, tau and the shares from either.
        seed: key of all randomness, default 0.
        alpha_c: share taken as clean; default: the settings', which is .2.
        alpha_p: share taken as poisoned; default: the settings', which is .05.
        draws: K; default: the settings', which is 4 (1 if published).
        transform: tau by name, "a" or "a+b" of :mod:`fctfast.detect.transforms`; default: the
            settings', which is the paper's rotate+affine.
        device: "auto" or a torch device.
        progress: where to report; default nowhere.
        out: folder for the result and for what a killed run resumes from; default: nothing is
            written.

    Returns:
        Scores, split and verdict.

    Raises:
        FileNotFoundError: no such data.
        ValueError: impossible alphas, one class, fewer samples than 1/alpha, an unknown mode, a
            folder of a run with other settings, budgets that buy no step, or a probe that collapsed
            (robust only).

    Source: paper sections 3.2 and A.1, Algorithms 1 and 2; DESIGN section 4.

    Example:
        >>> found = detect("digits", seed=1)
        >>> found.verdict.evidence, found.split.poisoned[-5:]
    """
    if mode not in MODES:
        raise ValueError(f"mode: expected one of {', '.join(MODES)}, got {mode!r}")
    if recipe is not None and settings is not None:
        raise ValueError("detect: give a recipe or settings, not both")
    chosen = settings or DetectSettings()
    opening: dict[str, Any] = {"seed": seed, "progress": progress}
    if recipe is not None:
        recipe = recipe if isinstance(recipe, Recipe) else load_recipe(str(recipe))
        chosen = DetectSettings.from_recipe(recipe)
        opening |= {"limit": recipe.data.limit, "image_size": recipe.data.image_size}
    chosen = _override(chosen, mode, alpha_c, alpha_p, draws, transform)
    images = as_image_set(data, **opening)
    _check_data(images, chosen)
    mean, std = normalisation(images, None, chosen.mean, chosen.std)
    folder = None if out is None else Path(out)
    fingerprint = images.fingerprint()
    probe, snapshots = _probe_and_score(
        images,
        chosen,
        mean=mean,
        std=std,
        seed=seed,
        device=resolve_device(device),
        progress=progress,
        folder=folder,
        fingerprint=fingerprint,
    )
    chosen_snapshot = most_telling(snapshots) if mode == "robust" else snapshots[-1]
    described = {"mode": mode, "seed": seed, "step": chosen_snapshot.step, "data": fingerprint}
    described |= asdict(replace(chosen, mean=mean, std=std))
    scores = Scores.of(images, chosen_snapshot.fct, **described)
    split = scores.split(chosen.alpha_c, chosen.alpha_p)
    detection = Detection(
        scores=scores,
        split=split,
        verdict=judge(chosen_snapshot.evidence),
        snapshots=tuple(s.summary() for s in snapshots),
        settings=scores.settings,
        probe=probe,
        info=describe(chosen.probe.network, images, mean, std),
    )
    if folder is not None:
        detection.save(folder)
    return detection


def _probe_and_score(
    images: ImageSet,
    settings: DetectSettings,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    seed: int,
    device: torch.device,
    progress: Progress | None,
    folder: Path | None,
    fingerprint: str,
) -> tuple[nn.Module, list[Snapshot]]:
    passes = settings.probe.passes(images)
    wanted = range(max(0, passes - settings.snapshots), passes)
    taken: dict[int, Snapshot] = {}
    identity = {
        "data": fingerprint,
        "probe": asdict(settings.probe),
        "score": asdict(settings.score),
        "recompute_batch_norm": settings.recompute_batch_norm,
        "seed": seed,
        "mean": mean,
        "std": std,
    }
    files = {n: folder / f"snapshot-{n:03d}.safetensors" for n in wanted} if folder else {}
    for kept in files.values():
        # Before training: a run that goes on with other settings would leave a folder of both.
        if kept.exists():
            read_result(kept, len(images), identity)

    def snapshot(model: nn.Module, record: dict[str, Any]) -> None:
        number = record["pass"]
        if number in wanted and number not in taken:
            taken[number] = take_snapshot(
                model,
                images,
                step=record["step"],
                mean=mean,
                std=std,
                seed=seed,
                settings=settings.score,
                alpha_p=settings.alpha_p,
                recompute=settings.recompute_batch_norm,
                device=device,
                progress=progress,
                path=files.get(number),
                identity=identity,
            )

    probe, fitted = train_probe(
        images,
        settings.probe,
        mean=mean,
        std=std,
        seed=seed,
        checkpoint=None if folder is None else folder / "probe-state.safetensors",
        on_pass=lambda end: snapshot(end.model, end.record),
        progress=progress,
        device=device,
    )
    for record in fitted.history:
        # Passes that a killed run had finished were scored before their checkpoint was written:
        # their files are there, and no model is run. Only the last pass is the probe at hand.
        file = files.get(record["pass"])
        gone = file is not None and record["pass"] not in taken and not file.exists()
        if gone and record["pass"] != passes - 1:
            raise ValueError(
                f"{file} is missing, and the probe of that moment is gone; the run had fewer "
                "snapshots, or the file was deleted: start in a new folder, or delete the whole "
                "folder"
            )
        snapshot(probe, record)
    return probe, [taken[number] for number in sorted(taken)]


def _override(
    settings: DetectSettings,
    mode: str,
    alpha_c: float | None,
    alpha_p: float | None,
    draws: int | None,
    transform: str | None,
) -> DetectSettings:
    if mode == "published":
        settings = settings.published()
    settings = replace(
        settings,
        alpha_c=settings.alpha_c if alpha_c is None else alpha_c,
        alpha_p=settings.alpha_p if alpha_p is None else alpha_p,
    )
    if draws is not None:
        settings = replace(settings, score=replace(settings.score, draws=draws))
    if transform is not None:
        settings = replace(settings, score=replace(settings.score, transform=transform))
    return settings


def _check_data(images: ImageSet, settings: DetectSettings) -> None:
    if not len(images):
        raise ValueError("detect: the data set holds no readable sample")
    if torch.unique(images.labels).numel() < 2:
        raise ValueError(
            "detect: all samples carry one label; FCT needs a classifier, and so at least two "
            "classes (is the folder one level too deep?)"
        )
    if not settings.probe.passes(images):
        raise ValueError("probe: the budgets of learn and spread buy no step")
    # Raises where there are fewer samples than 1/alpha, before the probe is trained.
    zeros = torch.zeros(len(images))
    split_scores(images.ids, zeros, alpha_c=settings.alpha_c, alpha_p=settings.alpha_p)
