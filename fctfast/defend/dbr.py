"""D-BR: find the poison, train (or take) a model, remove its backdoor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fctfast import io
from fctfast.data import ImageSet
from fctfast.defend.base import BaseSettings, train_base
from fctfast.defend.removal import RemovalSettings, remove_backdoor
from fctfast.detect import Detection, DetectSettings, Split, detect
from fctfast.detect.probe import describe
from fctfast.detect.scores import PathLike
from fctfast.detect.scoring import as_image_set, normalisation
from fctfast.models import ModelInfo, load_model, save_model
from fctfast.train import Progress
from fctfast.train.recipes import Recipe, load_recipe

FORMAT = "fctfast-repair-1"
BASE_FILE, REPAIRED_FILE, RESULT_FILE = "base.safetensors", "repaired.safetensors", "repair.json"
DETECT_FOLDER = "detect"


@dataclass(frozen=True)
class DBRConfig:
    """D-BR written down.

    Args:
        detect: the SD module.
        base: base training; not used when a checkpoint is given.
        removal: unlearning and relearning.
        mode: of detection, "robust" or "published".

    Source: paper Algorithm 4.
    """

    detect: DetectSettings = field(default_factory=DetectSettings)
    base: BaseSettings = field(default_factory=BaseSettings)
    removal: RemovalSettings = field(default_factory=RemovalSettings)
    mode: str = "robust"

    @classmethod
    def from_recipe(cls, recipe: Recipe | PathLike) -> DBRConfig:
        """Take a recipe: its sections `base` and `br`, and those of detection.

        Args:
            recipe: a recipe, its name or its file.

        Raises:
            ValueError: an unknown name or key.
        """
        recipe = recipe if isinstance(recipe, Recipe) else load_recipe(str(recipe))
        return cls(
            detect=DetectSettings.from_recipe(recipe),
            base=recipe.section("base", BaseSettings, network=recipe.model),
            removal=recipe.section("br", RemovalSettings),
        )


@dataclass(frozen=True, eq=False)
class Repaired:
    """What D-BR leaves behind.

    Args:
        model: the repaired network in eval mode, last round.
        info: description of the network, with the normalisation it needs.
        detection: the audit that chose D_p and D_c.
        history: records of each pass: "base" (empty with a checkpoint) and "removal".
        stopped: the stopping rule ended BR before its budget.
        paths: files written, by role; empty without `out`.
    """

    model: nn.Module
    info: ModelInfo
    detection: Detection
    history: dict[str, list[dict[str, Any]]]
    stopped: bool
    paths: dict[str, Path] = field(default_factory=dict)

    @property
    def rounds(self) -> int:
        """Rounds of unlearning and relearning that were done."""
        return sum(r["stage"] == "relearn" for r in self.history["removal"])


class DBR:
    """Distinguishment and backdoor removal.

    Args:
        config: default :class:`DBRConfig`, the published settings in robust mode.

    Source: paper section 3.4 and Algorithm 4.

    Example:
        >>> repaired = DBR().run("suspicious_folder", out="runs/repair")
        >>> repaired.model(images)
    """

    def __init__(self, config: DBRConfig | None = None) -> None:
        self.config = config or DBRConfig()

    def run(
        self,
        data: Any,
        *,
        checkpoint: PathLike | nn.Module | None = None,
        detection: Detection | PathLike | None = None,
        out: PathLike | None = None,
        seed: int = 0,
        progress: Progress | None = None,
        device: str | torch.device = "auto",
    ) -> Repaired:
        """Repair a model trained on a suspicious set, or train one and repair it.

        Neither truth nor test data is used. With `out`, every stage continues where a killed run
        stopped and ends with the same weights.

        Args:
            data: an ImageSet, what :func:`~fctfast.data.open_dataset` takes, or a map-style
                dataset: images and labels as given.
            checkpoint: the user's backdoored model, a self-describing file or a module; default:
                a base model is trained.
            detection: an earlier audit of the same data, or its folder; default: audited here.
            out: folder for weights, result and what a killed run resumes from; default: nothing
                is written.
            seed: key of all randomness, default 0.
            progress: where to report; default nowhere.
            device: "auto" or a torch device.

        Returns:
            The repaired model and how it came about.

        Raises:
            FileNotFoundError: no such data, checkpoint or detection.
            ValueError: a detection of other data, a corrupt checkpoint, one that does not fit the
                images, a folder of a run with other settings, and all that `detect` raises.

        Source: paper Algorithm 4.
        """
        config = self.config
        images = as_image_set(data, seed=seed, progress=progress)
        folder = None if out is None else Path(out)
        model, info = _given_model(checkpoint)
        mean, std = normalisation(images, info, config.detect.mean, config.detect.std)
        if info is not None:
            _check_fits(info, images)
        if detection is None:
            detection = detect(
                images,
                mode=config.mode,
                settings=config.detect,
                seed=seed,
                device=device,
                progress=progress,
                out=None if folder is None else folder / DETECT_FOLDER,
            )
        elif not isinstance(detection, Detection):
            detection = Detection.load(detection)
        poisoned, clean = parts(images, detection.split)
        history: dict[str, list[dict[str, Any]]] = {"base": [], "removal": []}
        if model is None:
            info = describe(config.base.network, images, mean, std)
            model, base = train_base(
                images,
                config.base,
                mean=mean,
                std=std,
                seed=seed,
                checkpoint=_state(folder, "base"),
                progress=progress,
                device=device,
            )
            history["base"] = list(base.history)
        if info is None:
            info = _describe_own(model, images, mean, std)
        if folder is not None:
            save_model(folder / BASE_FILE, model, info)
        removal = remove_backdoor(
            model,
            poisoned,
            clean,
            config.removal,
            mean=mean,
            std=std,
            seed=seed,
            checkpoint=_state(folder, "removal"),
            progress=progress,
            device=device,
        )
        history["removal"] = list(removal.history)
        repaired = Repaired(model.eval(), info, detection, history, removal.stopped)
        return repaired if folder is None else _write(repaired, folder, config, seed)


def parts(images: ImageSet, split: Split) -> tuple[ImageSet, ImageSet]:
    """Take D_p and D_c out of a set.

    Args:
        images: the audited set.
        split: of the same set.

    Returns:
        (D_p, D_c), each in ascending order of id, so that nothing depends on the scores' order.

    Raises:
        ValueError: the split holds ids that the set does not have, or D_p or D_c is empty.
    """
    chosen = []
    for name, ids in (("D_p", split.poisoned), ("D_c", split.clean)):
        if not ids.numel():
            raise ValueError(f"dbr: {name} is empty; choose an alpha above 0")
        missing = ids[~torch.isin(ids, images.ids)]
        if missing.numel():
            raise ValueError(
                f"dbr: the detection is of other data: {missing.numel()} ids of its {name} are not "
                f"in {images.name!r}, e.g. {missing[:3].tolist()}"
            )
        chosen.append(images.subset(ids.sort().values))
    return chosen[0], chosen[1]


def _given_model(
    checkpoint: PathLike | nn.Module | None,
) -> tuple[nn.Module | None, ModelInfo | None]:
    if checkpoint is None or isinstance(checkpoint, nn.Module):
        return checkpoint, None
    return load_model(str(checkpoint))


def _check_fits(info: ModelInfo, images: ImageSet) -> None:
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


def _describe_own(
    model: nn.Module, images: ImageSet, mean: Sequence[float], std: Sequence[float]
) -> ModelInfo:
    return ModelInfo(
        arch="custom",
        num_classes=images.num_classes,
        in_channels=images.channels,
        image_size=images.image_size,
        mean=tuple(mean),
        std=tuple(std),
        class_names=images.class_names,
    )


def _state(folder: Path | None, stage: str) -> Path | None:
    return None if folder is None else folder / f"{stage}-state.safetensors"


def _write(repaired: Repaired, folder: Path, config: DBRConfig, seed: int) -> Repaired:
    paths = {
        "base": folder / BASE_FILE,
        "repaired": folder / REPAIRED_FILE,
        "result": folder / RESULT_FILE,
    }
    save_model(paths["repaired"], repaired.model, repaired.info)
    # Last: a folder with this file is complete.
    io.write_json(
        paths["result"],
        {
            "format": FORMAT,
            "seed": seed,
            "settings": asdict(config),
            "history": repaired.history,
            "stopped": repaired.stopped,
            "rounds": repaired.rounds,
        },
    )
    return Repaired(
        repaired.model,
        repaired.info,
        repaired.detection,
        repaired.history,
        repaired.stopped,
        paths,
    )
