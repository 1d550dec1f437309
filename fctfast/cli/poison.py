"""``fctfast poison``: write a poisoned copy of a data set, to try detection on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fctfast.cli import common
from fctfast.cli.common import guarded

if TYPE_CHECKING:
    from fctfast.attacks import Attack, Poisoned
    from fctfast.data import ImageSet


PREVIEWED = 4  # images


@guarded
def run(
    *,
    data_dir: common.DataDir,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="A new folder.")],
    attack: Annotated[
        str, typer.Option(metavar="NAME", help="Attack; `fctfast attacks` lists them.")
    ] = "badnets-all2one",
    rate: Annotated[
        float, typer.Option(help="Share of the samples the attack can use (see the result).")
    ] = 0.1,
    target: Annotated[
        str, typer.Option(metavar="CLASS", help="Target class: name or number.")
    ] = "0",
    option: common.AttackOption = None,
    trigger_image: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Picture for an attack that blends one in."),
    ] = None,
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
            help="Take poisoned samples from FOLDER/bd_train_dataset/LABEL/ID.png instead.",
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
      fctfast poison --data-dir cifar-10-batches-py --from-png record/blended --out poisoned
    """
    from fctfast import attacks
    from fctfast.data import no_progress, open_dataset, terminal_progress
    from fctfast.train import make_progress

    options = common.attack_options(option)
    if trigger_image is not None:
        options["image"] = str(trigger_image)
    chosen = attacks.get(attack, **options)
    if (out / "recipe.json").exists():  # before minutes of decoding
        raise FileExistsError(f"--out: {out} already holds a poisoned set; choose another folder")
    data = open_dataset(
        data_dir,
        split=split,
        image_size=image_size,
        limit=limit,
        seed=seed,
        progress=no_progress if quiet else terminal_progress,
    )
    number = common.class_number(target, data.class_names)
    if from_png is not None:
        poisoned = attacks.import_png(data, from_png, kind=chosen.kind, target=number)
    else:
        poisoned = attacks.poison(
            data, chosen, rate=rate, target=number, seed=seed, progress=make_progress(quiet=quiet)
        )
    poisoned.recipe["source"] = _source(data_dir)
    poisoned.recipe["source_options"] = {
        "split": split,
        "image_size": image_size,
        "limit": limit,
    }
    recipe = attacks.save_poisoned(poisoned, out)
    table = attacks.export_png(poisoned, out) if png else None
    if preview is not None:
        _preview(preview, data, poisoned, chosen)
    rows = {
        "attack": f"from {from_png}" if from_png else f"{chosen.name}: {chosen.summary}",
        "target": f"{number} ({data.class_names[number]})",
        "poisoned": f"{recipe['poisoned']:,} of {recipe['samples']:,} samples"
        + (f" ({rate:g} of the {recipe['rate_of']})" if "rate_of" in recipe else ""),
        "set": out / recipe["set_file"],
        "sha256": recipe["sha256"],
        "preview": preview,
        "pictures": table,
        "truth": f"{out / 'truth.parquet'} (read by evaluate and report only)",
    }
    lines = [f"Poisoned {data.name}.", *common.table(rows)]
    common.emit(recipe, [*lines, "", f"Next: fctfast detect --data-dir {out}"], as_json=as_json)


def _preview(path: Path, data: ImageSet, poisoned: Poisoned, attack: Attack) -> None:
    from fctfast.report import save_preview

    chosen = poisoned.poisoned_mask.nonzero().flatten()[:PREVIEWED]
    title = f"{attack.name}: {', '.join(attack.traits())}"
    save_preview(path, data.images[chosen], poisoned.image_set.images[chosen], title=title)


def _source(data_dir: str) -> str:
    """A path in full, so that evaluate finds it from another folder; a name as it is."""
    from fctfast.data.registry import sources

    if data_dir in {known.name for known in sources()}:
        return data_dir
    return str(Path(data_dir).expanduser().resolve())
