"""What detect, dbr, dst and demo were asked for, and the settings and data that come of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from fctfast.cli import runs

T = TypeVar("T")

if TYPE_CHECKING:
    from fctfast.data import ImageSet
    from fctfast.defend import DBRConfig, DSTConfig
    from fctfast.detect import DetectSettings
    from fctfast.train import Recipe


@dataclass(frozen=True)
class Asked:
    """The options of detect, dbr and dst that decide what is computed.

    Args:
        data_dir: where the images are.
        recipe: name or file, or None to choose one.
        mode: "robust" or "published".
        alpha_c, alpha_p, draws, transform, model, width, batch_size: override the recipe; None
            leaves it.
        amp: 16-bit arithmetic.
        split, limit: which images.
        image_size: one side or (height, width) in pixels; None keeps the images' own.
        device: for the choice of a recipe.
    """

    data_dir: str
    recipe: str | None = None
    mode: str = "robust"
    alpha_c: str | None = None
    alpha_p: str | None = None
    draws: int | None = None
    transform: str | None = None
    model: str | None = None
    width: int | None = None
    batch_size: int | None = None
    amp: bool = False
    split: str = "train"
    image_size: int | tuple[int, int] | None = None
    limit: int | None = None
    device: str = "auto"

    def load_recipe(self) -> Recipe:
        """Read the recipe that was asked for, or choose one for this device.

        A chosen recipe brings its network and budgets, but neither its number of images (leaving
        images of a user's set out would be a surprise), nor its image size (a small trigger would
        vanish on the way to 32x32), nor CIFAR's normalisation.
        """
        from fctfast.train import DataSettings, load_recipe, resolve_device

        if self.recipe is not None:
            recipe = load_recipe(self.recipe)
        elif self.data_dir == "digits":
            recipe = load_recipe("digits")
        else:
            gpu = resolve_device(self.device).type == "cuda"
            size = self.image_size or 0
            large = (size if isinstance(size, int) else min(size)) >= 96
            name = ("imagenet-subset" if large else "cifar10") if gpu else "cifar10-cpu"
            recipe = load_recipe(name)
            recipe = replace(recipe, data=DataSettings())
        network = replace(
            recipe.model,
            name=recipe.model.name if self.model is None else self.model,
            width=recipe.model.width if self.width is None else self.width,
        )
        return replace(recipe, model=network)

    def detection(self, recipe: Recipe, channels: int) -> DetectSettings:
        """Build the settings of the audit, as it will run: the recipe's, with the options on top.

        Args:
            recipe: from :meth:`load_recipe`.
            channels: of the images; a recipe's statistics for another number are not used.

        Raises:
            ValueError: a value out of range, or one that "published" fixes.
        """
        from fctfast.detect import DetectSettings

        detect = DetectSettings.from_recipe(recipe)
        alpha_c, alpha_p = shares(self.alpha_c, self.alpha_p)
        detect = replace(
            detect,
            alpha_c=detect.alpha_c if alpha_c is None else alpha_c,
            alpha_p=detect.alpha_p if alpha_p is None else alpha_p,
        )
        if detect.mean is not None and len(detect.mean) != channels:
            detect = replace(detect, mean=None, std=None)
        if self.mode == "published":
            # Here already, so that run.json holds what runs; doing it twice changes nothing.
            detect = detect.published()
            self._refuse_fixed(detect)
        if self.draws is not None:
            detect = replace(detect, score=replace(detect.score, draws=self.draws))
        if self.transform is not None:
            detect = detect.under(self.transform)
        if self.amp:
            detect = replace(detect, score=replace(detect.score, precision="bfloat16"))
        return replace(detect, probe=self._fitted(detect.probe))

    def config(self, recipe: Recipe, channels: int) -> DBRConfig:
        """Build the settings of D-BR.

        Args:
            recipe: from :meth:`load_recipe`.
            channels: of the images.

        Raises:
            ValueError: as :meth:`detection`.
        """
        from fctfast.defend import DBRConfig
        from fctfast.train.recipes import with_precision

        config = replace(DBRConfig.from_recipe(recipe), mode=self.mode, **self._images(recipe))
        removal = config.removal.published() if self.mode == "published" else config.removal
        if self.amp:
            removal = with_precision(removal, "bfloat16")
        return replace(
            config,
            detect=self.detection(recipe, channels),
            base=self._fitted(config.base),
            removal=removal,
        )

    def secure_config(
        self,
        recipe: Recipe,
        channels: int,
        *,
        extractor: str | None,
        classifier: str | None,
        lambda_p: float | None,
    ) -> DSTConfig:
        """Build the settings of D-ST; `batch_size` is stage 1's, and the probe's.

        Args:
            recipe: from :meth:`load_recipe`.
            channels: of the images.
            extractor: loss of stage 1, default the recipe's.
            classifier: loss of stage 2, default the recipe's.
            lambda_p: weight of D_p in stage 2, default the recipe's.

        Raises:
            ValueError: as :meth:`detection`.
        """
        from fctfast.defend import DSTConfig
        from fctfast.train.recipes import with_precision

        config = replace(DSTConfig.from_recipe(recipe), mode=self.mode, **self._images(recipe))
        first = config.extractor
        second = replace(
            config.classifier,
            loss=classifier or config.classifier.loss,
            lambda_p=config.classifier.lambda_p if lambda_p is None else lambda_p,
        )
        return replace(
            config,
            detect=self.detection(recipe, channels),
            extractor=self._fitted(replace(first, learning=extractor or first.learning)),
            classifier=with_precision(second, "bfloat16") if self.amp else second,
        )

    def _fitted(self, settings: T) -> T:
        """Put batch size and precision into a section that has ``fit``."""
        from fctfast.train.recipes import with_precision

        if self.batch_size is not None:
            # Sections share no class: what they have in common is `fit`.
            fit = replace(settings.fit, batch_size=self.batch_size)  # type: ignore[attr-defined]
            settings = replace(settings, fit=fit)  # type: ignore[type-var]
        return with_precision(settings, "bfloat16") if self.amp else settings

    def _refuse_fixed(self, published: DetectSettings) -> None:
        # The audit takes its published settings after these options, and would drop them unsaid.
        for option, given, what, value in (
            ("--draws", self.draws, "draws", published.score.draws),
            ("--batch-size", self.batch_size, "batch size", published.probe.fit.batch_size),
        ):
            if given is not None:
                raise ValueError(
                    f"{option}: --mode published fixes the {what} at {value}, got {given}; leave "
                    f"{option} out or use --mode robust"
                )

    def _images(self, recipe: Recipe) -> dict[str, Any]:
        """How many images of which size are opened."""
        return {
            "image_size": self.image_size or recipe.data.image_size,
            "limit": self.limit or recipe.data.limit,
        }

    def open(self, recipe: Recipe, *, seed: int, workers: int | None, quiet: bool) -> ImageSet:
        """Open the data as recipe and options say, with progress on stderr.

        Raises:
            ValueError: an impossible setting, before minutes of decoding.
        """
        self.detection(recipe, channels=3)
        return runs.open_data(
            self.data_dir,
            self.split,
            **self._images(recipe),
            seed=seed,
            workers=workers,
            quiet=quiet,
        )


def shares(
    alpha_c: str | None, alpha_p: str | None
) -> tuple[float | str | None, float | str | None]:
    """Read --alpha-c and --alpha-p.

    Args:
        alpha_c: a share, "auto", or None.
        alpha_p: likewise.

    Returns:
        Both, as numbers where they are numbers.

    Raises:
        ValueError: another word.
    """
    return _share("--alpha-c", alpha_c), _share("--alpha-p", alpha_p)


def _share(option: str, given: str | None) -> float | str | None:
    """Read a share, or the word "auto"."""
    if given is None or given == "auto":
        return given
    try:
        return float(given)
    except ValueError:
        raise ValueError(
            f"{option}: expected a share such as 0.05, or auto, got {given!r}"
        ) from None
