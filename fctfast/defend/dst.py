"""D-ST: find the poison, and train a secure model from scratch on what is left to trust."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fctfast import io
from fctfast.data import ImageSet
from fctfast.defend.classifier import ClassifierSettings, train_classifier
from fctfast.defend.extractor import ExtractorSettings, train_extractor
from fctfast.defend.given import (
    audited,
    check_same_data,
    keep_given,
    paper_labels,
    state_file,
)
from fctfast.defend.removal import kept_shares
from fctfast.detect import Detection, DetectSettings
from fctfast.detect.audit import MODES
from fctfast.detect.probe import describe
from fctfast.detect.scores import PathLike
from fctfast.detect.scoring import as_image_set, normalisation
from fctfast.models import ModelInfo, save_model
from fctfast.train import Progress
from fctfast.train.recipes import Recipe, load_recipe

FORMAT = "fctfast-secure-1"
SECURE_FILE, RESULT_FILE = "secure.safetensors", "secure.json"


@dataclass(frozen=True)
class DSTConfig:
    """D-ST written down.

    Args:
        detect: the SD module.
        extractor: stage 1, contrastive learning.
        classifier: stage 2, on frozen features.
        mode: of detection, "robust" or "published".
        limit: take this many images of a path that is opened here; default all.
        image_size: pixels a side of such images; default as they are.

    Raises:
        ValueError: an unknown mode.

    Source: paper Algorithm 3.
    """

    detect: DetectSettings = field(default_factory=DetectSettings.default)
    extractor: ExtractorSettings = field(default_factory=ExtractorSettings)
    classifier: ClassifierSettings = field(default_factory=ClassifierSettings)
    mode: str = "robust"
    limit: int | None = None
    image_size: int | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"mode: expected one of {', '.join(MODES)}, got {self.mode!r}")

    @classmethod
    def from_recipe(cls, recipe: Recipe | PathLike) -> DSTConfig:
        """Take a recipe: its sections `data`, `extractor` and `classifier`, and detection's.

        Args:
            recipe: a recipe, its name or its file.

        Raises:
            ValueError: an unknown name or key.
        """
        recipe = recipe if isinstance(recipe, Recipe) else load_recipe(str(recipe))
        return cls(
            detect=DetectSettings.from_recipe(recipe),
            # Contrastive learning starts from random weights.
            extractor=recipe.section(
                "extractor", ExtractorSettings, network=replace(recipe.model, pretrained="")
            ),
            classifier=recipe.section("classifier", ClassifierSettings),
            limit=recipe.data.limit,
            image_size=recipe.data.image_size,
        )

    @property
    def title(self) -> str:
        """What the paper calls this combination of losses."""
        return title_of(self.extractor.learning, self.classifier.loss)

    @property
    def needs_detection(self) -> bool:
        """False for the paper's Baseline1 and Baseline2, which trust all labels or none."""
        return self.extractor.learning == "ss-ctl" or self.classifier.loss == "mce"


def title_of(extractor: str, classifier: str) -> str:
    """What the paper calls a combination of losses.

    Args:
        extractor: loss of stage 1.
        classifier: loss of stage 2.
    """
    pair = (extractor, classifier)
    known = {
        ("ss-ctl", "mce"): "D-ST", ("ctl", "ce"): "Baseline1", ("s-ctl", "ce"): "Baseline2"
    }  # fmt: skip
    return known.get(pair, " + ".join(pair).upper())


@dataclass(frozen=True, eq=False)
class Secured:
    """What D-ST leaves behind.

    Args:
        model: the network in eval mode, last epoch.
        info: its description, with the normalisation it needs.
        detection: the audit that chose D_p and D_c; None where neither stage needs it.
        history: records of each pass: "extractor" and "classifier".
        kept: shares of D_p and D_c that the model predicts as labelled, `dp_kept` and `dc_kept`;
            None of an empty part, and without a detection.
        paths: files written, by role; empty without `out`.
    """

    model: nn.Module
    info: ModelInfo
    detection: Detection | None
    history: dict[str, list[dict[str, Any]]]
    kept: dict[str, float | None]
    paths: dict[str, Path] = field(default_factory=dict)


class DST:
    """Distinguishment and secure training.

    Args:
        config: default :class:`DSTConfig`, the published settings with robust detection.

    Source: paper section 3.3 and Algorithm 3.

    Example:
        >>> secured = DST().run("suspicious_folder", out="runs/secure")
        >>> secured.model(images)
    """

    def __init__(self, config: DSTConfig | None = None) -> None:
        self.config = config or DSTConfig()

    def check(self, images: ImageSet, detection: Detection | None = None) -> None:
        """Refuse at once what :meth:`run` would refuse of a detection at hand, or of the shares.

        Args:
            images: the suspicious set.
            detection: an earlier audit of it.

        Raises:
            ValueError: a detection of other data or one that no stage uses, or an empty D_c.
        """
        _check(self.config, detection)
        if detection is not None:
            check_same_data(detection, images)
            _members(images, detection)

    def run(
        self,
        data: Any,
        *,
        detection: Detection | PathLike | None = None,
        out: PathLike | None = None,
        seed: int = 0,
        progress: Progress | None = None,
        device: str | torch.device = "auto",
    ) -> Secured:
        """Train a model on a suspicious set without letting a backdoor in.

        Neither truth nor test data is used. With `out`, every stage continues where a killed run
        stopped and ends with the same weights.

        Args:
            data: an ImageSet, what :func:`~fctfast.data.open_dataset` takes, or a map-style
                dataset: images and labels as given. What is opened here has the config's size and
                limit.
            detection: an earlier audit of the same data, or its folder; default: audited here.
            out: folder for weights, result and what a killed run resumes from; default: nothing
                is written.
            seed: key of all randomness, default 0.
            progress: where to report; default nowhere.
            device: "auto" or a torch device.

        Returns:
            The model and how it came about.

        Raises:
            FileNotFoundError: no such data or detection.
            NotADirectoryError: `out` is a file.
            ValueError: a detection of other data or one that no stage uses, an empty D_c, a folder
                of a run with other settings, and all that `detect` raises.

        Source: paper Algorithm 3.
        """
        config = self.config
        _check(config, detection)
        folder = io.as_folder(out)
        images = data
        if not isinstance(data, ImageSet):
            images = as_image_set(
                data, seed=seed, progress=progress, limit=config.limit, image_size=config.image_size
            )
        mean, std = normalisation(images, None, config.detect.mean, config.detect.std)
        clean = poisoned = None
        if config.needs_detection:
            given = detection
            detection = audited(
                images, config.detect, detection, mode=config.mode, out=folder, seed=seed,
                progress=progress, device=device,
            )  # fmt: skip
            clean, poisoned = _members(images, detection)
            if folder is not None and given is not None:
                keep_given(detection, folder)
            if progress is not None and (note := paper_labels(detection)):
                progress.note(f"D-ST: {note}")
        else:
            detection = None
        how: dict[str, Any] = {
            "mean": mean, "std": std, "seed": seed, "progress": progress, "device": device
        }  # fmt: skip
        network, first = train_extractor(
            images, config.extractor, clean, checkpoint=state_file(folder, "extractor"), **how
        )
        known = images
        kept: dict[str, float | None] = {"dp_kept": None, "dc_kept": None}
        if clean is not None and poisoned is not None:
            either = clean | poisoned
            known, poisoned = images.select(either), poisoned[either]
        second = train_classifier(
            network, known if config.classifier.loss == "mce" else images, config.classifier,
            poisoned, checkpoint=state_file(folder, "classifier"), **how,
        )  # fmt: skip
        if poisoned is not None:
            kept = kept_shares(network, known, poisoned, mean=mean, std=std)
        secured = Secured(
            network,
            describe(config.extractor.network, images, mean, std),
            detection,
            {"extractor": list(first.history), "classifier": list(second.history)},
            kept,
        )
        return secured if folder is None else _write(secured, folder, config, seed)


def _check(config: DSTConfig, detection: Detection | PathLike | None) -> None:
    # Before the probe is trained, which may take hours.
    if not config.needs_detection and detection is not None:
        raise ValueError(
            f"dst: {config.title} uses no detection, with this extractor and classifier; leave it "
            "out"
        )
    if config.needs_detection and detection is None and not config.detect.alpha_c:
        raise ValueError("dst: D_c is empty with alpha_c 0; choose an alpha_c above 0")


def _members(images: ImageSet, detection: Detection) -> tuple[Tensor, Tensor]:
    """Who is in D_c and who in D_p, bool [N] each."""
    clean = torch.isin(images.ids, detection.split.clean)
    if not bool(clean.any()):
        raise ValueError(
            "dst: D_c is empty, and the classifier learns from nothing else; choose an alpha_c "
            "above 0 (alpha_c 'auto' keeps nobody where nobody looks clean enough)"
        )
    return clean, torch.isin(images.ids, detection.split.poisoned)


def _write(secured: Secured, folder: Path, config: DSTConfig, seed: int) -> Secured:
    paths = {"secure": folder / SECURE_FILE, "result": folder / RESULT_FILE}
    save_model(paths["secure"], secured.model, secured.info)
    # Last: a folder with this file is complete.
    io.write_json(
        paths["result"],
        {
            "format": FORMAT,
            "seed": seed,
            "settings": asdict(config),
            "history": secured.history,
            "kept": secured.kept,
        },
    )
    return replace(secured, paths=paths)
