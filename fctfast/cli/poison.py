"""``fctfast poison``: write a poisoned copy of a data set, to try detection on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fctfast.cli import attack_options, common
from fctfast.cli.common import guarded

if TYPE_CHECKING:
    from fctfast.attacks import Poisoned
    from fctfast.data import ImageSet


DEFAULT = "badnets-all2one"
PREVIEWED = 4  # images


@guarded
def run(
    *,
    data_dir: common.DataDir,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="A new folder.")],
    attack: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"Attack; `fctfast attacks` lists them; default: {DEFAULT}.",
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Share of the samples the attack can use (see the result); default: 0.1.",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(metavar="CLASS", help="Target class: name or number; default: 0."),
    ] = None,
    option: attack_options.Option = None,
    trigger_image: attack_options.TriggerImage = None,
    preview: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Draw clean, poisoned and difference there."),
    ] = None,
    png: Annotated[
        bool,
        typer.Option("--png", help="Write the poisoned samples as PNG files, too, and a table."),
    ] = False,
    from_png: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Take poisoned samples from FOLDER/bd_train_dataset/LABEL/ID.png instead; without "
            "a table there, --attack and --target say which labels they get.",
        ),
    ] = None,
    split: common.Split = "train",
    image_size: common.ImageSize = None,
    limit: common.Limit = None,
    seed: common.Seed = 0,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
    debug: common.Debug = False,
) -> None:
    """Write a poisoned copy of a data set, with its recipe; the truth goes to a file of its own.

    \b
    Examples:
      fctfast poison --data-dir digits --out poisoned
      fctfast poison --data-dir cifar10.zip --attack blend-signal --target cat --out poisoned
      fctfast poison --data-dir digits --attack sig --rate 0.5 --preview look.png --out poisoned
      fctfast poison --data-dir cifar10.zip --from-png record/x --attack trojan --target 0 --out p
    """
    from fctfast import attacks, io
    from fctfast.data import no_progress, open_dataset, terminal_progress
    from fctfast.train import make_progress

    chosen = attack_options.named_attack(attack or DEFAULT, option, trigger_image)
    model = chosen.options().get("model")  # which a test trigger may not need
    if model is not None and not Path(str(model)).expanduser().is_file():
        raise FileNotFoundError(f"--option model: no such file: {model}")
    if from_png is not None:
        _refuse_with_png(rate=rate, option=option, trigger_image=trigger_image)
    share = 0.1 if rate is None else rate
    attacks.check_rate(share)  # what can be refused is, before minutes of decoding
    if (out / "recipe.json").exists():
        raise FileExistsError(f"--out: {out} already holds a poisoned set; choose another folder")
    _check_places(out, preview, data_dir)
    inside = _inside(preview, out)
    with io.atomic_folder(out, last="recipe.json") as folder:
        progress = make_progress(quiet=quiet)
        data = open_dataset(
            data_dir,
            split=split,
            image_size=image_size,
            limit=limit,
            seed=seed,
            progress=no_progress if quiet else terminal_progress,
        )
        number = common.class_number("0" if target is None else target, data.class_names)
        if from_png is not None:
            poisoned = attacks.import_png(
                data,
                from_png,
                kind=None if attack is None else chosen.kind,
                target=None if target is None else number,
            )
        else:
            poisoned = attacks.poison(
                data, chosen, rate=share, target=number, seed=seed, progress=progress
            )
        poisoned.recipe["source"] = _source(data_dir)
        poisoned.recipe["source_options"] = {
            "split": split,
            "image_size": image_size,
            "limit": limit,
        }
        title = "imported" if from_png else f"{chosen.name}: {', '.join(chosen.traits())}"
        if inside is not None:
            _preview(folder / inside, data, poisoned, title)
        if png:
            attacks.export_png(poisoned, folder, progress=progress)
        recipe = attacks.save_poisoned(poisoned, folder)
    if preview is not None and inside is None:
        _preview(preview, data, poisoned, title)
    rows = {
        "attack": f"from {from_png}" if from_png else f"{chosen.name}: {chosen.summary}",
        "target": _target(recipe, data),
        "poisoned": f"{recipe['poisoned']:,} of {recipe['samples']:,} samples"
        + (f" ({share:g} of {recipe['rate_of']})" if "rate_of" in recipe else ""),
        "measured": _measured(recipe),
        "set": out / recipe["set_file"],
        "sha256": recipe["sha256"],
        "preview": preview,
        "pictures": out / attacks.TABLE if png else None,
        "truth": f"{out / 'truth.parquet'} (read by evaluate and report only)",
    }
    lines = [f"Poisoned {data.name}.", *common.table(rows)]
    common.emit(recipe, [*lines, "", f"Next: fctfast detect --data-dir {out}"], as_json=as_json)


def _refuse_with_png(**given: object) -> None:
    for name, value in given.items():
        if value is not None:
            option = "--" + name.replace("_", "-")
            raise ValueError(f"{option}: --from-png takes pictures that are made; leave it out")


def _check_places(out: Path, preview: Path | None, data_dir: str) -> None:
    """Refuse what would be written among the data, and a preview over a file of another kind."""
    from fctfast.report import is_preview

    data = None if _is_name(data_dir) else Path(_source(data_dir))
    for option, path in (("--out", out), ("--preview", preview)):
        if path is None:
            continue
        place = path.resolve()
        if data is not None and (place == data or (data.is_dir() and data in place.parents)):
            raise ValueError(f"{option}: {path} lies in the data, {data_dir}; choose another place")
        there = next(parent for parent in (place, *place.parents) if parent.exists())
        if there != place and not there.is_dir():
            raise ValueError(f"{option}: expected {path} to be in a folder, but {there} is a file")
    if preview is None:
        return
    if preview.suffix.lower() != ".png" or preview.is_dir():
        raise ValueError(f"--preview: expected the name of a file that ends in .png, got {preview}")
    if preview.exists() and not (preview.is_file() and is_preview(preview)):
        raise FileExistsError(f"--preview: {preview} is there already; choose another name")


def _inside(preview: Path | None, out: Path) -> Path | None:
    """Where the preview lies in the folder, if it does."""
    place, folder = preview and preview.resolve(), out.resolve()
    return place.relative_to(folder) if place and folder in place.parents else None


def _preview(path: Path, data: ImageSet, poisoned: Poisoned, title: str) -> None:
    from fctfast.report import save_preview

    chosen = poisoned.poisoned_mask.nonzero().flatten()[:PREVIEWED]
    save_preview(path, data.images[chosen], poisoned.image_set.images[chosen], title=title)


def _target(recipe: dict[str, Any], data: ImageSet) -> str:
    if recipe["kind"] == "all2all":
        return "each class's next one"
    number = int(recipe["target"])
    return f"{number} ({data.class_names[number]})"


def _measured(recipe: dict[str, Any]) -> str | None:
    facts = recipe.get("measured", {})
    return ", ".join(f"{name} {value:.4g}" for name, value in facts.items()) or None


def _is_name(data_dir: str) -> bool:
    from fctfast.data.registry import sources

    return data_dir in {known.name for known in sources()}


def _source(data_dir: str) -> str:
    """A path in full, so that evaluate finds it from another folder; a name as it is."""
    if _is_name(data_dir):
        return data_dir
    return str(Path(data_dir).expanduser().resolve())
