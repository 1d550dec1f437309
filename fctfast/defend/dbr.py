"""D-BR: find the poison, train (or take) a model, remove its backdoor."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fctfast import io
from fctfast.data import ImageSet
from fctfast.defend.base import BaseSettings, train_base
from fctfast.defend.given import (
    DETECT_FOLDER,
    audited,
    check_fits,
    check_parts,
    check_same_data,
    describe_own,
    given_model,
    keep_given,
    parts,
    state_file,
    with_paper_share,
)
from fctfast.defend.removal import RemovalSettings, kept_shares, remove_backdoor
from fctfast.detect import Detection, DetectSettings
from fctfast.detect.audit import MODES
from fctfast.detect.probe import describe
from fctfast.detect.scores import PathLike
from fctfast.detect.scoring import as_image_set, normalisation
from fctfast.models import ModelInfo, save_model
from fctfast.train import Progress
from fctfast.train.recipes import Recipe, load_recipe

FORMAT = "fctfast-repair-2"
BASE_FILE, REPAIRED_FILE, RESULT_FILE = "base.safetensors", "repaired.safetensors", "repair.json"


@dataclass(frozen=True)
class DBRConfig:
    """D-BR written down.

    Args:
        detect: the SD module.
        base: base training; not used when a checkpoint is given.
        removal: unlearning and relearning.
        mode: "robust" or "published": detection and BR as published, whatever `removal` says but
            for its augmentation and precision.
        limit: take this many images of a path that is opened here; default all.
        image_size: pixels a side of such images; default as they are. The size of a given
            checkpoint comes first.

    Raises:
        ValueError: an unknown mode.

    Source: paper Algorithm 4.
    """

    detect: DetectSettings = field(default_factory=DetectSettings.default)
    base: BaseSettings = field(default_factory=BaseSettings)
    removal: RemovalSettings = field(default_factory=RemovalSettings)
    mode: str = "robust"
    limit: int | None = None
    image_size: int | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"mode: expected one of {', '.join(MODES)}, got {self.mode!r}")

    @classmethod
    def from_recipe(cls, recipe: Recipe | PathLike) -> DBRConfig:
        """Take a recipe: its sections `data`, `base` and `br`, and those of detection.

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
            limit=recipe.data.limit,
            image_size=recipe.data.image_size,
        )


@dataclass(frozen=True, eq=False)
class Repaired:
    """What D-BR leaves behind.

    Args:
        model: the repaired network in eval mode, last pass.
        info: description of the network, with the normalisation it needs.
        detection: the audit that chose D_p and D_c.
        history: records of each pass: "base" (empty with a checkpoint) and "removal".
        kept: shares of D_p and D_c that the model predicts as labelled, `dp_kept` and `dc_kept`.
            D_p's falls with the attack's success, down to its share of clean samples.
        paper_share: for want of evidence alpha_p "auto" flagged nobody, and D_p is the paper's 5 %;
            the base model may have no backdoor.
        paths: files written, by role; empty without `out`.
    """

    model: nn.Module
    info: ModelInfo
    detection: Detection
    history: dict[str, list[dict[str, Any]]]
    kept: dict[str, float | None]
    paper_share: bool = False
    paths: dict[str, Path] = field(default_factory=dict)

    @property
    def passes(self) -> int:
        """How often D_p and D_c were gone through."""
        return sum(r["stage"] in ("repair", "relearn") for r in self.history["removal"])


class DBR:
    """Distinguishment and backdoor removal.

    Args:
        config: default :class:`DBRConfig`, robust mode.

    Source: paper section 3.4 and Algorithm 4.

    Example:
        >>> repaired = DBR().run("suspicious_folder", out="runs/repair")
        >>> repaired.model(images)
    """

    def __init__(self, config: DBRConfig | None = None) -> None:
        self.config = config or DBRConfig()

    def check(self, images: ImageSet, detection: Detection | None = None) -> None:
        """Refuse at once what :meth:`run` would refuse of a detection at hand, or of the shares.

        Args:
            images: the suspicious set.
            detection: an earlier audit of it.

        Raises:
            ValueError: a detection of other data, or an empty D_p or D_c.
        """
        if detection is None:
            _check_alphas(self.config.detect)
            return
        check_same_data(detection, images)
        check_parts(images, with_paper_share(detection)[0].split)

    def run(
        self,
        data: Any,
        *,
        checkpoint: PathLike | nn.Module | None = None,
        info: ModelInfo | None = None,
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
                dataset: images and labels as given. What is opened here has the size of the
                checkpoint, else the config's, and the config's limit.
            checkpoint: the user's backdoored model, a self-describing file or a module; default:
                a base model is trained. Its own normalisation is used, not the config's.
            info: description of a module given as checkpoint: its normalisation, and what the
                repaired file says of itself; default: the config's normalisation, else that of
                the images, and the architecture "custom".
            detection: an earlier audit of the same data, or its folder; default: audited here.
                Where alpha_p "auto" flagged nobody, for want of evidence, D_p is the paper's 5 %.
            out: folder for weights, result and what a killed run resumes from; default: nothing
                is written.
            seed: key of all randomness, default 0.
            progress: where to report; default nowhere.
            device: "auto" or a torch device.

        Returns:
            The repaired model and how it came about.

        Raises:
            FileNotFoundError: no such data, checkpoint or detection.
            NotADirectoryError: `out` is a file.
            ValueError: a detection of other data, an alpha of 0, a corrupt checkpoint, one that
                does not fit the images, a description without a module, a folder of a run with
                other settings, and all that `detect` raises.

        Source: paper Algorithm 4.
        """
        config = self.config
        if config.mode == "published":
            config = replace(config, removal=config.removal.published())
        if detection is None:
            _check_alphas(config.detect)
        folder = io.as_folder(out)
        model, info = given_model(checkpoint, info)
        images = _open(data, config, info, seed=seed, progress=progress)
        if info is None:
            mean, std = normalisation(images, None, config.detect.mean, config.detect.std)
        else:
            check_fits(info, images)
            mean, std = info.mean, info.std
        given = detection
        detection = audited(
            images, config.detect, detection, mode=config.mode, out=folder, seed=seed,
            progress=progress, device=device,
        )  # fmt: skip
        detection, paper_share = with_paper_share(detection)
        if folder is not None and given is not None:
            keep_given(detection, folder)
        elif folder is not None and paper_share:
            detection.save(folder / DETECT_FOLDER)  # what is reported of this run
        check_parts(images, detection.split)
        known, poisoned = parts(images, detection.split)
        history: dict[str, list[dict[str, Any]]] = {"base": [], "removal": []}
        if model is None:
            info = describe(config.base.network, images, mean, std)
            model, base = train_base(
                images,
                config.base,
                mean=mean,
                std=std,
                seed=seed,
                checkpoint=state_file(folder, "base"),
                progress=progress,
                device=device,
            )
            history["base"] = list(base.history)
        if info is None:
            info = describe_own(images, mean, std)
        if folder is not None:
            save_model(folder / BASE_FILE, model, info)
        removal = remove_backdoor(
            model,
            known,
            poisoned,
            config.removal,
            mean=mean,
            std=std,
            seed=seed,
            checkpoint=state_file(folder, "removal"),
            progress=progress,
            device=device,
        )
        history["removal"] = list(removal.history)
        kept = kept_shares(model, known, poisoned, mean=mean, std=std)
        repaired = Repaired(model.eval(), info, detection, history, kept, paper_share)
        return repaired if folder is None else _write(repaired, folder, config, seed)


def _check_alphas(settings: DetectSettings) -> None:
    # Before the probe is trained, which may take hours.
    for part, name in (("D_p", "alpha_p"), ("D_c", "alpha_c")):
        if not getattr(settings, name):
            raise ValueError(f"dbr: {part} is empty with {name} 0; choose an {name} above 0")


def _open(
    data: Any, config: DBRConfig, info: ModelInfo | None, *, seed: int, progress: Progress | None
) -> ImageSet:
    if isinstance(data, ImageSet):
        return data
    size = config.image_size if info is None else info.image_size
    return as_image_set(data, seed=seed, progress=progress, limit=config.limit, image_size=size)


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
            "kept": repaired.kept,
            "paper_share": repaired.paper_share,
            "passes": repaired.passes,
        },
    )
    return replace(repaired, paths=paths)
