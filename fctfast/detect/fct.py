"""Feature consistency towards transformations (FCT, Eq. 1) of a whole set under one model."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fctfast.data import ImageSet
from fctfast.detect.transforms import parse
from fctfast.models import FeatureModel
from fctfast.ops import feature_distance
from fctfast.train.inference import evaluating
from fctfast.train.progress import Progress, Quiet

PRECISIONS = {
    "auto": torch.float32,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
"""`auto` is float32: a 16-bit forward pass moves samples across the thresholds."""

FLOOR = 1e-2
"""Least of a geometric mean's factors, as a share of their median."""


@dataclass(frozen=True)
class FctSettings:
    """How a set is scored.

    Args:
        transform: tau by name, "a" or "a+b" of :mod:`fctfast.detect.transforms`; default
            rotate+affine, the paper's.
        draws: K, transformed views of each sample, default 4 (the paper: 1).
        over_draws: how a sample's K distances become one score: "mean", or "geometric" (the mean of
            their logarithms): a poisoned sample is thrown far by every draw, a clean one is spared
            by some, and one draw that spares it counts as much as one that throws it.
        reduction: "sum" over features (Eq. 1) or "mean" (published code; the same ranking).
        batch_size: images in one forward pass, views included, default 256.
        precision: name in PRECISIONS.

    Raises:
        ValueError: an unknown name, or a count below 1.

    Source: paper section 4.1 and appendix C.5.
    """

    transform: str = "rotate+affine"
    draws: int = 4
    over_draws: str = "mean"
    reduction: str = "sum"
    batch_size: int = 256
    precision: str = "auto"

    def __post_init__(self) -> None:
        parse(self.transform)
        _one_of("over_draws", self.over_draws, ("mean", "geometric"))
        _one_of("reduction", self.reduction, ("sum", "mean"))
        _one_of("precision", self.precision, PRECISIONS)
        for name in ("draws", "batch_size"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}: expected an int of at least 1, got {value!r}")


@dataclass(frozen=True)
class FctResult:
    """What one pass over a set yields; all on the CPU, in the order of the set.

    Args:
        fct: float32 [K, N], one row a draw of tau.
        norms: float32 [N], length of the untransformed sample's features.
        predicted: int64 [N], class the model gives the untransformed sample; empty if it has no
            `classify`.
    """

    fct: Tensor
    norms: Tensor
    predicted: Tensor

    def score(self, over_draws: str = "mean") -> Tensor:
        """Make one score of the draws.

        Args:
            over_draws: "mean" or "geometric"; for the latter a draw counts as at least FLOOR times
                the median of the sample's draws.

        Returns:
            float64 [N].
        """
        draws = self.fct.double()
        if over_draws == "geometric":
            # Some of 120,000 draws turn a 32x32 image so little that no pixel moves. A factor of 0
            # would hide the sample, whatever its other draws say.
            floor = (FLOOR * draws.median(0).values).clamp_min(torch.finfo(torch.float32).tiny)
            return draws.maximum(floor).log().mean(0).exp()
        return draws.mean(0)


def fct(
    model: nn.Module | FeatureModel,
    data: ImageSet,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    seed: int = 0,
    settings: FctSettings | None = None,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> FctResult:
    """Score every sample: squared distance between its features and those of tau(sample).

    tau's parameters are keyed by (seed, sample id, draw), so a sample's views depend on neither
    the order of the set nor the batch size nor which other samples are scored. Originals and views
    of a batch are written by one op and go through the network together.

    Args:
        model: has `features(x) -> [B, D]`; put in eval mode for the pass and back afterwards.
        data: images to score.
        mean: C values for normalisation, in [0, 1] units.
        std: C values for normalisation.
        seed: key of tau's parameters, default 0.
        settings: draws, transformation, batch size, precision; default :class:`FctSettings`.
        device: where the model is, default the CPU.
        progress: shows samples done, rate and time left; default: nothing.

    Returns:
        Scores of each draw, feature lengths and predictions.

    Raises:
        ValueError: features are not [B, D].

    Source: paper Eq. 1 and Algorithm 1.
    """
    settings = settings or FctSettings()
    draws, device = settings.draws, torch.device(device)
    step = max(1, settings.batch_size // (1 + draws))
    # Every view's parameters in one call: drawing them batch by batch costs more than they weigh.
    tau = parse(settings.transform).draw(data.ids, seed=seed, draws=draws, size=data.image_size)
    scores = torch.empty(draws, len(data))
    norms, predicted = torch.empty(len(data)), torch.empty(len(data), dtype=torch.int64)
    classified = 0
    task = (progress or Quiet()).task("scoring", len(data), unit="image")
    with (
        evaluating(model),
        torch.inference_mode(),
        autocast(device, settings.precision),
        task as shown,
    ):
        for start in range(0, len(data), step):
            rows = slice(start, min(start + step, len(data)))
            images = data.images[rows].to(device, non_blocking=True)
            views = tau.views(images, rows, mean, std)
            # To mypy an attribute of a module is a tensor or a module.
            features = model.features(views)  # type: ignore[operator]
            count = rows.stop - rows.start
            if features.dim() != 2 or features.shape[0] != views.shape[0]:
                raise ValueError(
                    f"fct: expected features of shape [{views.shape[0]}, D], got "
                    f"{list(features.shape)}; pool them (see fctfast.models.as_feature_model)"
                )
            distance = feature_distance(features.float(), draws, settings.reduction)
            scores[:, rows] = distance.reshape(draws, count).cpu()
            norms[rows] = features[:count].float().norm(dim=1).cpu()
            classes = _predictions(model, features[:count])
            if classes is not None:
                predicted[rows], classified = classes, classified + count
            shown.advance(count)
    return FctResult(scores, norms, predicted if classified == len(data) else predicted[:0])


def _predictions(model: Any, features: Tensor) -> Tensor | None:
    classify = getattr(model, "classify", None)
    try:
        return None if classify is None else classify(features).argmax(1).cpu()
    except ValueError:  # a wrapped network may give features but have no head that reads them
        return None


def autocast(device: torch.device, precision: str) -> Any:
    """Autocast to a precision of PRECISIONS; nothing for float32."""
    dtype = PRECISIONS[precision]
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype)


def _one_of(name: str, value: str, known: Any) -> None:
    if value not in known:
        raise ValueError(f"{name}: expected one of {', '.join(known)}, got {value!r}")
