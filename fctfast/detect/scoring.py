"""`score`: FCT of a set under the user's own model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from fctfast.data import ImageSet, open_dataset
from fctfast.data.statistics import channel_statistics
from fctfast.detect.fct import FctSettings, fct
from fctfast.detect.guards import check_collapse
from fctfast.detect.scores import PathLike, Scores
from fctfast.models import ModelInfo, as_feature_model, load_model
from fctfast.train.precision import resolve_device
from fctfast.train.progress import Progress, Quiet


def score(
    data: Any,
    *,
    model: nn.Module | PathLike,
    transform: str = "rotate+affine",
    draws: int = 4,
    seed: int = 0,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    image_size: int | tuple[int, int] | None = None,
    batch_size: int = 256,
    workers: int | str = "auto",
    device: str | torch.device = "auto",
    precision: str = "auto",
    feature_layer: str | None = None,
    progress: Progress | None = None,
    out: PathLike | None = None,
) -> Scores:
    """Score every sample of a set by FCT under a model you have.

    Args:
        data: an :class:`~fctfast.data.ImageSet`, anything :func:`~fctfast.data.open_dataset`
            takes (a path, a name), or a map-style dataset of (image, label).
        model: a module (torchvision, timm, or any whose features can be found), or the path of a
            checkpoint that describes itself.
        transform: tau, "a" or "a+b" of :mod:`fctfast.detect.transforms`.
        draws: K, transformed views of each sample, default 4.
        seed: key of tau's parameters, default 0.
        mean: channel means the model was trained with, in [0, 1] units; default: the checkpoint's,
            else those of the data.
        std: channel standard deviations, as mean.
        image_size: side or (height, width) in pixels; default: the checkpoint's, else the data's.
        batch_size: images in one forward pass, views included, default 256.
        workers: decoding processes, "auto" for one a core.
        device: "auto" (a GPU if there is one), "cpu", "cuda", ...
        precision: "auto" (float32), "float32", "bfloat16" or "float16".
        feature_layer: name of the layer whose input (linear) or output is the feature; default:
            found by :func:`~fctfast.models.as_feature_model`.
        progress: shows how far it is; default: nothing is shown.
        out: Parquet file to write; default: none.

    Returns:
        One score a readable sample, the mean over the draws, and the quarantined rows.

    Raises:
        FileNotFoundError: no such data or checkpoint.
        ValueError: nothing to score, a model without features, a corrupt checkpoint, statistics
            for another number of channels, or features that collapsed.

    Source: paper Eq. 1.
    """
    settings = FctSettings(
        transform=transform, draws=draws, batch_size=batch_size, precision=precision
    )
    info: ModelInfo | None = None
    if not isinstance(model, nn.Module):
        model, info = load_model(str(model))
    if image_size is None and info is not None:
        image_size = info.image_size
    shown = progress or Quiet()
    decoders = None if workers == "auto" else int(workers)
    images = as_image_set(data, image_size=image_size, seed=seed, progress=shown, workers=decoders)
    if not len(images):
        raise ValueError("score: the data set holds no readable sample")
    mean, std = normalisation(images, info, mean, std)
    place = resolve_device(device)
    features = as_feature_model(model, feature_layer=feature_layer).to(place)
    features = features.to(memory_format=torch.channels_last)
    result = fct(
        features,
        images,
        mean=mean,
        std=std,
        seed=seed,
        settings=settings,
        device=place,
        progress=shown,
    )
    fct_of_samples = result.score(settings.over_draws)
    health = check_collapse(
        fct_of_samples, result.norms, result.predicted, images.labels, images.num_classes
    )
    if not bool(torch.isfinite(result.fct).all()):
        raise ValueError(
            "score: the model gives features that are not finite; check its weights, and that "
            "mean and std are those it was trained with"
        )
    # Without predictions: how well a model of the user's own fits these labels is their business.
    faults = check_collapse(
        fct_of_samples, result.norms, result.predicted[:0], images.labels, images.num_classes
    ).reasons
    if faults:
        raise ValueError(
            f"score: the model's features collapsed ({', '.join(faults)}), and a split would be "
            "noise; check its weights, that mean and std are those it was trained with, and "
            "feature_layer"
        )
    scores = Scores.of(
        images,
        fct_of_samples,
        transform=transform,
        draws=draws,
        seed=seed,
        mean=list(mean),
        std=list(std),
        image_size=list(images.image_size),
        precision=precision,
        health=health.summary(),
    )
    if out is not None:
        scores.save(out)
    return scores


def as_image_set(data: Any, **options: Any) -> ImageSet:
    """Open anything that can be opened; an ImageSet passes through if its size fits.

    Args:
        data: an ImageSet or what :func:`~fctfast.data.open_dataset` takes.
        options: as of open_dataset; those that are None are left out.

    Raises:
        ValueError: an ImageSet whose images have another size than the one asked for.
    """
    options = {key: value for key, value in options.items() if value is not None}
    if not isinstance(data, ImageSet):
        return open_dataset(data, **options)
    size = options.get("image_size")
    wanted = (size, size) if isinstance(size, int) else size
    if wanted is not None and tuple(wanted) != data.image_size:
        raise ValueError(
            f"image_size: the images are {data.image_size[0]}x{data.image_size[1]} pixels but "
            f"{wanted[0]}x{wanted[1]} were asked for; open the data with that image_size"
        )
    return data


def normalisation(
    images: ImageSet,
    info: ModelInfo | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Settle mean and std: the caller's, else the checkpoint's, else those of the images.

    Args:
        images: the data.
        info: the checkpoint's description, or None.
        mean: channel means in [0, 1] units, or None.
        std: channel standard deviations, or None; given if and only if mean is.

    Returns:
        (mean, std), one value a channel.

    Raises:
        ValueError: one without the other, or another number of channels.
    """
    if (mean is None) != (std is None):
        raise ValueError("mean and std: give both or neither")
    if mean is not None and std is not None:
        pair = (tuple(float(v) for v in mean), tuple(float(v) for v in std))
    elif info is not None:
        pair = (info.mean, info.std)
    else:
        pair = channel_statistics(images.images)
    for name, values in zip(("mean", "std"), pair, strict=True):
        if len(values) != images.channels:
            raise ValueError(
                f"{name}: expected {images.channels} values, one a channel of the images, got "
                f"{len(values)}"
            )
    return pair
