"""What the user brings to a defence, a model or a detection: opened, and checked for its images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from fctfast import io
from fctfast.data import ImageSet
from fctfast.detect import Detection, DetectSettings, Split, detect
from fctfast.detect.detection import RESULT_FILE
from fctfast.detect.scores import PathLike
from fctfast.detect.shares import AUTO, PAPER
from fctfast.models import ModelInfo, load_model
from fctfast.train import Progress

DETECT_FOLDER = "detect"


def find_detection(folder: PathLike) -> Path | None:
    """Find the detection of a run folder.

    Args:
        folder: of detect (the detection lies in it), or of dbr or dst (in its folder ``detect``).

    Returns:
        The folder of the detection, or None.
    """
    for place in (Path(folder), Path(folder) / DETECT_FOLDER):
        if (place / RESULT_FILE).is_file():
            return place
    return None


def given_model(
    checkpoint: PathLike | nn.Module | None, info: ModelInfo | None
) -> tuple[nn.Module | None, ModelInfo | None]:
    """Open the user's model, if there is one.

    Args:
        checkpoint: a self-describing file, a module, or None.
        info: description of the module, or None.

    Returns:
        The model and its description, where they are known.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a corrupt file, or a description without a module.
    """
    if isinstance(checkpoint, nn.Module):
        return checkpoint, info
    if info is not None:
        raise ValueError(
            "dbr: info describes a module given as checkpoint; a file describes itself, and a "
            "base model that is trained here needs no description"
        )
    return (None, None) if checkpoint is None else load_model(str(checkpoint))


def check_fits(info: ModelInfo, images: ImageSet) -> None:
    """Refuse a model made for other classes, channels or image sizes.

    Args:
        info: the model's description.
        images: what it is to be repaired with.

    Raises:
        ValueError: they differ.
    """
    if info.num_classes != images.num_classes or info.in_channels != images.channels:
        raise ValueError(
            f"dbr: the checkpoint has {info.num_classes} classes and {info.in_channels} channels, "
            f"the data {images.num_classes} and {images.channels}"
        )
    if tuple(info.image_size) != images.image_size:
        raise ValueError(
            f"dbr: the checkpoint was trained on {info.image_size[0]}x{info.image_size[1]} pixels, "
            f"the images have {images.image_size[0]}x{images.image_size[1]}; open the data with "
            "image_size of the checkpoint"
        )


def audited(
    images: ImageSet,
    settings: DetectSettings,
    detection: Detection | PathLike | None,
    *,
    mode: str,
    out: Path | None,
    seed: int,
    progress: Progress | None,
    device: str | torch.device,
) -> Detection:
    """Take the detection that is given, or make one.

    Args:
        images: the suspicious set.
        settings: of the audit.
        detection: an earlier one, the folder of its run, or None.
        mode: "robust" or "published".
        out: run folder; the audit's own lies in it. None: nothing is written.
        seed: key of all randomness.
        progress: where to report.
        device: "auto" or a torch device.

    Raises:
        FileNotFoundError: no such detection.
        ValueError: one of other data, and all that `detect` raises.
    """
    if detection is None:
        return detect(
            images,
            mode=mode,
            settings=settings,
            seed=seed,
            device=device,
            progress=progress,
            out=None if out is None else out / DETECT_FOLDER,
        )
    if not isinstance(detection, Detection):
        detection = Detection.load(find_detection(detection) or detection)
    check_same_data(detection, images)
    return detection


def keep_given(detection: Detection, folder: Path) -> None:
    """Save the detection that a run was given where it would have saved its own.

    Args:
        detection: as the run uses it.
        folder: of the run.

    Raises:
        ValueError: another one lies there.
    """
    place = folder / DETECT_FOLDER
    if (place / RESULT_FILE).is_file():
        both = (io.read_json(place / RESULT_FILE), detection.summary())
        if len({json.dumps(one, sort_keys=True) for one in both}) > 1:
            raise ValueError(
                f"{place} holds another audit than the one that is given, or another split of it; "
                "choose a new folder"
            )
        return
    detection.save(place)


def state_file(folder: Path | None, stage: str) -> Path | None:
    """Where a stage of a run keeps what it goes on from; None without a folder."""
    return None if folder is None else folder / f"{stage}-state.safetensors"


def check_same_data(detection: Detection, images: ImageSet) -> None:
    """Refuse a detection of other data: ids are row numbers, which every set has.

    Args:
        detection: an earlier audit. One that does not hold the fingerprint of its data is
            compared by its labels alone.
        images: what it is to be used with.

    Raises:
        ValueError: pixels, labels or ids differ.
    """
    other = f"the detection is of other data than {images.name!r}"
    scores = detection.scores
    missing = scores.ids[~torch.isin(scores.ids, images.ids)]
    if missing.numel():
        raise ValueError(
            f"{other}: {missing.numel()} of its {len(scores)} ids are not there, e.g. "
            f"{missing[:3].tolist()}"
        )
    given = images.labels[images.positions(scores.ids)]
    differing = int((given != scores.labels).sum())
    if differing:
        raise ValueError(f"{other}: {differing} of {len(scores)} labels differ")
    audited = detection.settings.get("data")
    if audited is not None and audited != images.fingerprint():
        raise ValueError(
            f"{other}: the fingerprints of the images differ; open the data as for the detection "
            "(image_size, limit and seed too), or leave the detection out"
        )


def paper_labels(detection: Detection) -> str:
    """What D-ST has to say where D_c is the paper's share, as "auto" had no evidence to go by.

    Args:
        detection: an audit.

    Returns:
        A sentence; empty where the share is the user's, or rests on evidence.
    """
    settings = detection.settings
    asked = settings.get("mode") != "published" and settings.get("alpha_c") == AUTO
    if not asked or detection.rate is not None:
        return ""
    return (
        f"for want of evidence D_c is the {detection.split.alpha_c:.0%} of the set that look "
        "cleanest; other labels are not used, which costs accuracy. If you trust the audit train "
        "as usual, or go on from it with more labels (fctfast dst --detection RUN --alpha-c 0.85 "
        "--out NEW), at the risk of learning what it missed"
    )


def with_paper_share(detection: Detection) -> tuple[Detection, bool]:
    """Flag the paper's 5 % where "auto" flagged nobody, for want of evidence.

    Who asks for a repair has reason for doubt.

    Args:
        detection: an audit.

    Returns:
        The detection, split anew if need be, and whether D_p is the paper's share for that reason.
    """
    settings = detection.settings
    if settings.get("mode") == "published" or settings.get("alpha_p") != AUTO:
        return detection, False  # the user's own share
    if detection.rate is not None:
        return detection, False
    return replace(detection, auto=(detection.auto[0], PAPER[1])).resplit(), True


def check_parts(images: ImageSet, split: Split) -> None:
    """Refuse a split that D-BR has nothing to do with.

    Args:
        images: the audited set.
        split: of the same set.

    Raises:
        ValueError: D_p or D_c is empty, or what :func:`parts` refuses.
    """
    for name, ids in (("D_p", split.poisoned), ("D_c", split.clean)):
        if not ids.numel():
            raise ValueError(
                f"dbr: {name} is empty; choose an alpha above 0 (alpha_c 'auto' keeps nobody where "
                "nobody looks clean enough)"
            )
    _check_ids(images, split)


def parts(images: ImageSet, split: Split) -> tuple[ImageSet, Tensor]:
    """Take D_p and D_c out of a set; either may be empty ("auto" flags nobody without evidence).

    Args:
        images: the audited set.
        split: of the same set.

    Returns:
        D_p and D_c together, in ascending order of id, so that nothing depends on the scores'
        order; and bool [N], True in D_p.

    Raises:
        ValueError: the split holds ids that the set does not have.
    """
    _check_ids(images, split)
    both = images.subset(torch.cat([split.poisoned, split.clean]).sort().values)
    return both, torch.isin(both.ids, split.poisoned)


def _check_ids(images: ImageSet, split: Split) -> None:
    for name, ids in (("D_p", split.poisoned), ("D_c", split.clean)):
        missing = ids[~torch.isin(ids, images.ids)]
        if missing.numel():
            raise ValueError(
                f"the detection is of other data: {missing.numel()} ids of its {name} are not "
                f"in {images.name!r}, e.g. {missing[:3].tolist()}"
            )


def describe_own(images: ImageSet, mean: Sequence[float], std: Sequence[float]) -> ModelInfo:
    """Describe a module that only its owner can build.

    Args:
        images: gives classes, channels and image size.
        mean: per channel, in [0, 1] units.
        std: per channel.

    Returns:
        A description with the architecture "custom".
    """
    return ModelInfo(
        arch="custom",
        num_classes=images.num_classes,
        in_channels=images.channels,
        image_size=images.image_size,
        mean=tuple(mean),
        std=tuple(std),
        class_names=images.class_names,
    )
