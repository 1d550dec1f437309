"""``fctfast evaluate``: measure a model and a detection, with the truth where it is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fctfast.cli import attack_options, common, model_options, runs
from fctfast.cli.common import guarded

if TYPE_CHECKING:
    from fctfast.attacks import Attack
    from fctfast.data import ImageSet
    from fctfast.models import ModelInfo

Poisoned = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Set written by `fctfast poison`: its recipe names the attack, its truth the poison.",
    ),
]
Detection = Annotated[
    Path | None,
    typer.Option(metavar="RUN", help="Run folder of detect, dbr or dst: how right its split is."),
]


@guarded
def run(
    *,
    checkpoint: model_options.Checkpoint = None,
    detection: Detection = None,
    poisoned: Poisoned = None,
    data_dir: Annotated[
        str | None,
        typer.Option(
            metavar="PATH|NAME", help="Clean test data; default: what --poisoned was made from."
        ),
    ] = None,
    split: common.Split = "test",
    limit: common.Limit = None,
    attack: Annotated[
        str | None, typer.Option(metavar="NAME", help="Attack to try, without --poisoned.")
    ] = None,
    target: Annotated[
        str, typer.Option(metavar="CLASS", help="Its target class: name or number.")
    ] = "0",
    option: attack_options.Option = None,
    trigger_image: attack_options.TriggerImage = None,
    model: model_options.Model = None,
    num_classes: model_options.NumClasses = None,
    mean: model_options.Mean = None,
    std: model_options.Std = None,
    image_size: common.ImageSize = None,
    batch_size: common.BatchSize = 256,
    seed: common.Seed = 0,
    device: common.Device = "auto",
    out: common.Out = None,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
    debug: common.Debug = False,
) -> None:
    """Measure a model (ACC, ASR) and a detection (precision, AUROC).

    \b
    Examples:
      fctfast evaluate --checkpoint run/model.safetensors --poisoned poisoned
      fctfast evaluate --checkpoint run/model.safetensors --data-dir cifar10.zip \\
          --attack blend-signal --target 3
      fctfast evaluate --detection run --poisoned poisoned
    """
    if checkpoint is None and detection is None:
        raise ValueError("evaluate: expected --checkpoint or --detection (or both), got neither")
    if attack is not None and poisoned is not None:
        raise ValueError("evaluate: give --attack or --poisoned, which names its own attack")
    for name, given in (("--option", option), ("--trigger-image", trigger_image)):
        if given and attack is None:
            raise ValueError(f"evaluate: {name} is of --attack, which is missing")
    result: dict[str, Any] = {}
    if detection is not None:
        if poisoned is None:
            raise ValueError("evaluate: --detection needs the truth: give --poisoned FOLDER")
        result["detection"] = detection_quality(detection, poisoned)
    if checkpoint is not None:
        result["model"] = _measure_model(
            checkpoint,
            poisoned,
            data_dir,
            attack_options.named_attack(attack, option, trigger_image) if attack else None,
            target,
            network=(model, num_classes, mean, std),
            data_options={
                "split": split,
                "limit": limit,
                "seed": seed,
                "image_size": image_size,
            },
            batch_size=batch_size,
            device=device,
            quiet=quiet,
        )
    if out is not None:
        from fctfast import io

        io.write_json(out / "evaluation.json", result)
    common.emit(result, lines_of(result), as_json=as_json)


def detection_quality(run_folder: Path, poisoned: Path) -> dict[str, Any]:
    """Compare a saved detection with the truth.

    Args:
        run_folder: of detect, dbr or dst.
        poisoned: folder with the truth.

    Returns:
        See :func:`fctfast.report.split_quality`.
    """
    from fctfast.attacks.truth import read_truth
    from fctfast.detect import Detection as Found
    from fctfast.report import split_quality

    found = Found.load(runs.earlier_detection(run_folder))
    return dict(split_quality(found.scores, found.split, read_truth(poisoned)))


def _measure_model(
    checkpoint: Path,
    poisoned: Path | None,
    data_dir: str | None,
    attack: Attack | None,
    target: str,
    *,
    network: tuple[str | None, int | None, str | None, str | None],
    data_options: dict[str, Any],
    batch_size: int,
    device: str,
    quiet: bool,
) -> dict[str, Any]:
    from fctfast import attacks
    from fctfast.data import channel_statistics, open_dataset
    from fctfast.report import evaluate
    from fctfast.train import make_progress, resolve_device

    recipe = attacks.read_recipe(poisoned) if poisoned is not None else None
    if data_dir is None:
        if recipe is None:
            raise ValueError("evaluate: --checkpoint needs test data: give --data-dir")
        data_dir = str(recipe["source"])
    name, num_classes, mean, std = network
    opened = model_options.describes_itself(checkpoint, name)
    if data_options["image_size"] is None:  # the trigger's size depends on it
        trained = opened[1].image_size if opened is not None else None
        made = recipe.get("source_options", {}) if recipe is not None else {}
        data_options["image_size"] = trained or made.get("image_size")
    data = open_dataset(data_dir, **data_options, progress=make_progress(quiet=quiet))
    if opened is not None:
        module, info = opened
        statistics = (info.mean, info.std)
        data = _numbered_as(data, info)
    else:
        module = model_options.open_network(
            checkpoint,
            str(name),
            num_classes=num_classes or data.num_classes,
            channels=data.channels,
            image_size=data.image_size,
        )
        given = model_options.statistics(mean, std)
        statistics = given or channel_statistics(data.images)
    if recipe is not None:
        attack, number = attacks.recipe_attack(recipe, poisoned), int(recipe["target"])
    else:
        number = common.class_number(target, data.class_names)
    measured = evaluate(
        module.to(resolve_device(device)),
        data,
        attack,
        number,
        mean=statistics[0],
        std=statistics[1],
        batch_size=batch_size,
    )
    facts = {"attack": attack.name, "target": number} if attack else {}
    return {"checkpoint": str(checkpoint), "test_set": data.name, **facts, **measured}


def _numbered_as(data: ImageSet, info: ModelInfo) -> ImageSet:
    """Give test data the class numbers of the model.

    A test folder that lacks a class numbers those after it differently, so names decide; by number
    where either side has none.

    Args:
        data: the test data.
        info: description of the model.

    Returns:
        The same images; labels and class names are the model's.

    Raises:
        ValueError: the data have more classes than the model, or a name it does not know.
    """
    import torch

    from fctfast.data.class_names import numbered_classes

    if data.num_classes > info.num_classes:
        raise ValueError(
            f"evaluate: the test data have {data.num_classes} classes but the model knows "
            f"{info.num_classes}; is it the right model?"
        )
    theirs, known = data.class_names, info.class_names
    if not known or theirs in (known, numbered_classes(data.num_classes)):
        return data
    numbers = {name: number for number, name in enumerate(known)}
    unknown = [name for name in theirs if name not in numbers]
    if not unknown:
        order = torch.tensor([numbers[name] for name in theirs])
        # Quarantined rows carry labels, too; nothing here looks at them.
        return replace(data, labels=order[data.labels], class_names=known, quarantined=())
    if known == numbered_classes(info.num_classes):
        return data
    first = theirs.index(unknown[0])
    raise ValueError(
        f"evaluate: class {first} of the test data is {unknown[0]!r}, which the model does not "
        f"know (its class {first} is {known[first]!r}); is it the right model? If so, rename the "
        "classes of the test data to the model's"
    )


def lines_of(result: dict[str, Any]) -> list[str]:
    """Lay the numbers out for a person.

    Args:
        result: with "model" and/or "detection".

    Returns:
        Lines.
    """
    lines = []
    if "model" in result:
        m = result["model"]
        tried = f" against {m['attack']}" if "attack" in m else ""
        rows = {
            "ACC (all classes)": common.percent(m["acc"]),
            "ACC (without target)": common.percent(m.get("acc_non_target")),
            "ASR": common.percent(m.get("asr")),
            "triggered, true class": common.percent(m.get("triggered_true_acc")),
        }
        lines += [f"Model on {m['test_samples']:,} test images{tried}", *common.table(rows)]
    if "detection" in result:
        d = result["detection"]
        rows = {
            "poisoned samples": f"{d['poisoned_samples']:,} of {d['samples']:,}",
            "AUROC": None if d["auroc"] is None else f"{d['auroc']:.4f}",
            "AUROC of FCT alone": None if d["fct_auroc"] is None else f"{d['fct_auroc']:.4f}",
            "D_c that is clean": _of(d["clean_precision"], d["clean_size"]),
            "D_p that is poisoned": _of(d["poison_precision"], d["poison_size"]),
            "poison found in D_p": common.percent(d["poison_recall"]),
        }
        lines += ["Detection against the truth", *common.table(rows)]
    return lines


def _of(share: float | None, size: int) -> str | None:
    return None if share is None else f"{100 * share:.2f} % of {size:,}"
