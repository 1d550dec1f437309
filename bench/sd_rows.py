"""The study of SD, second half: every candidate score and statistic, from the kept moments.

What is computed with the truth (AUROC, precision) judges candidates; no statistic that a candidate
decides by sees it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from fctfast import io
from fctfast.detect import FctResult, Scores, check_collapse
from fctfast.detect.evidence import Evidence, log_scores, suspected_samples, weigh
from fctfast.detect.split import ALPHA_C, ALPHA_P
from fctfast.report.metrics import auroc

RECIPE_DRAWS = 3


def distances(features: Tensor) -> Tensor:
    """FCT of each draw: float64 [K, N] from features [1 + K, N, D]."""
    return (features[1:] - features[:1]).double().square().sum(-1)


def candidate_scores(features: Tensor, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Candidates for a sample's score, by name.

    Args:
        features: float32 [1 + K, N, D], untransformed samples first.
        logits: float32 [1 + K, N, classes].
        labels: int64 [N], as given.

    Returns:
        float64 [N] each, higher for more suspicious.
    """
    d = distances(features)
    unit = distances(F.normalize(features, dim=-1))
    chance = logits.double().softmax(-1)[:, torch.arange(labels.numel()), labels]
    logs = log_scores(FctResult(d, d[0], labels).score("geometric"))
    centred = logs.clone()
    for number in torch.unique(labels).tolist():
        centred[labels == number] -= logs[labels == number].median()
    return {
        "one draw": d[0],
        "mean": d.mean(0),
        "lowest": d.amin(0),
        "geometric": logs.exp(),
        "unit length": FctResult(unit, unit[0], labels).score("geometric"),
        "class-centred": centred,
        "label's probability lost": chance[0] - chance[1:].mean(0),
    }


def quality(scores: Scores, poisoned: Tensor) -> dict[str, float | None]:
    """AUROC and the purity of both parts, against the truth."""
    split = scores.split(ALPHA_C, ALPHA_P)
    known = dict(zip(scores.ids.tolist(), poisoned.tolist(), strict=True))

    def share(ids: Tensor) -> float:
        return sum(known[i] for i in ids.tolist()) / max(1, len(ids))

    return {
        "auroc": auroc(scores.suspicion, poisoned),
        "d_p_poisoned": share(split.poisoned),
        "d_c_clean": 1 - share(split.clean),
    }


def statistics(result: FctResult, seen: Evidence, labels: Tensor, classes: int) -> dict[str, Any]:
    """What a candidate may decide by: nothing here knows the truth."""
    geometric = result.score("geometric")
    flagged = geometric.argsort()[-int(ALPHA_P * labels.numel()) :]
    counts = torch.bincount(labels[flagged], minlength=classes)
    commonest = int(counts.argmax())
    half = result.fct.shape[0] // 2
    halves = (replace(result, fct=part) for part in result.fct.split(half)[:2])
    ranks = [part.score("geometric").argsort().argsort() for part in halves]
    health = check_collapse(geometric, result.norms, result.predicted, labels, classes)
    clearest = max(range(classes), key=lambda c: seen.class_separation[c] or 0.0)
    groups = seen.classes[clearest]
    return {
        "separation": seen.separation,
        "clearest_class": clearest,
        "upper_share": None if groups is None else groups.upper_share,
        "second_separation": sorted(s or 0.0 for s in seen.class_separation)[-2],
        "concentration": float(counts.max() / counts.sum() / (labels == commonest).double().mean()),
        "commonest_class": commonest,
        "rank_stability": float(torch.corrcoef(torch.stack(ranks).double())[0, 1]),
        "zero_norm_share": health.zero_norm_share,
        "training_accuracy": health.training_accuracy,
        "collapsed": health.collapsed,
    }


def moment_row(
    path: Path, labels: Tensor, poisoned: Tensor, classes: int, earlier: list[Tensor]
) -> dict[str, Any]:
    """One moment: facts, statistics, and the quality of every candidate score.

    `earlier` holds the ranks of the moments before, and gets those of this one.
    """
    tensors, metadata = io.read_tensors(path)
    fresh = "features" in tensors  # published moments have running statistics alone
    prefix = "" if fresh else "running_"
    features, logits = tensors[f"{prefix}features"], tensors[f"{prefix}logits"]
    result = FctResult(distances(features).float(), features[0].norm(dim=1), logits[0].argmax(1))
    seen = weigh(result.score("geometric"), labels, classes)
    row: dict[str, Any] = {**json.loads(metadata["facts"])}
    if features.shape[0] > 2:
        row |= statistics(result, seen, labels, classes)
    earlier.append(result.score("geometric").argsort().argsort().double())
    others = {
        other.name.split("-")[1]: other for other in path.parent.glob(f"under-*-{path.stem[-5:]}.*")
    }
    row["taus"] = {
        name: _under(io.read_tensors(other)[0], labels, poisoned, classes)
        for name, other in sorted(others.items())
    }
    if len(features) > 1 + RECIPE_DRAWS:  # the paper's tau with as many draws as the recipe has
        fewer = {"features": features[: 1 + RECIPE_DRAWS], "logits": logits}
        row["taus"]["rotate+affine"] = _under(fewer, labels, poisoned, classes)
    if not bool(poisoned.any()):
        return row
    ids = torch.arange(labels.numel())
    candidates = candidate_scores(features, logits, labels)
    row["scores"] = {
        name: quality(Scores(ids, labels, value), poisoned) for name, value in candidates.items()
    }
    averaged = Scores(ids, labels, torch.stack(earlier).mean(0))
    row["scores"]["mean rank over moments so far"] = quality(averaged, poisoned)
    running = distances(tensors["running_features"])[0]
    row["scores"]["one draw, running statistics"] = quality(Scores(ids, labels, running), poisoned)
    first = suspected_samples(result.score("geometric"), labels, seen)
    ordered = Scores(ids, labels, result.score("geometric"), first)
    row["scores"]["geometric, suspected first"] = quality(ordered, poisoned)
    return row


def _under(
    tensors: Mapping[str, Tensor], labels: Tensor, poisoned: Tensor, classes: int
) -> dict[str, Any]:
    """What a moment shows under one tau."""
    features, logits = tensors["features"], tensors["logits"]
    result = FctResult(distances(features).float(), features[0].norm(dim=1), logits[0].argmax(1))
    score = result.score("geometric")
    seen = weigh(score, labels, classes)
    row: dict[str, Any] = {
        "draws": len(features) - 1, "class_separation": list(seen.class_separation)
    }  # fmt: skip
    if bool(poisoned.any()):
        ids = torch.arange(labels.numel())
        first = suspected_samples(score, labels, seen)
        row["geometric"] = quality(Scores(ids, labels, score), poisoned)
        row["geometric, suspected first"] = quality(Scores(ids, labels, score, first), poisoned)
    return row


def case_rows(folder: Path) -> dict[str, Any]:
    """All moments of a case, ready for JSON.

    Args:
        folder: written by `sd_moments.collect`.

    Returns:
        The case, its size and truth, and one row a moment in order of time.
    """
    truth, facts = io.read_tensors(folder / "truth.safetensors")
    labels, poisoned = truth["labels"], truth["poisoned"]
    classes = int(facts["classes"])
    record: Mapping[str, Any] = io.read_json(folder / "case.json")
    moments = sorted(folder.glob("moment-*.safetensors"))
    earlier: list[Tensor] = []
    return {
        "case": record["case"],
        "draws": record["draws"],
        "sample": labels.numel(),
        "poisoned": int(poisoned.sum()),
        "moments": [moment_row(path, labels, poisoned, classes, earlier) for path in moments],
    }
