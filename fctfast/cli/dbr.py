"""``fctfast dbr``: find the poison and repair the model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fctfast.cli import choices, common, detect, model_options, recipe_options, runs
from fctfast.cli.common import guarded

if TYPE_CHECKING:
    from torch import nn

    from fctfast.data import ImageSet
    from fctfast.defend import DBRConfig, Repaired
    from fctfast.models import ModelInfo

PAPER_SHARE = "the paper's 5 %, for want of evidence; the base model may need no repair"


@guarded
def run(
    *,
    data_dir: common.DataDir,
    out: common.Out = None,
    checkpoint: model_options.Checkpoint = None,
    detection: recipe_options.EarlierDetection = None,
    recipe: recipe_options.Recipe = None,
    mode: recipe_options.Mode = "robust",
    alpha_c: recipe_options.AlphaC = None,
    alpha_p: recipe_options.AlphaP = None,
    draws: recipe_options.Draws = None,
    transform: recipe_options.Transform = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Network to train; default: the recipe's. With --checkpoint: the network of its "
            "weights if the file does not say (resnet18, torchvision:NAME or timm:NAME).",
        ),
    ] = None,
    width: recipe_options.Width = None,
    mean: model_options.Mean = None,
    std: model_options.Std = None,
    split: common.Split = "train",
    image_size: recipe_options.ImageSize = None,
    limit: recipe_options.Limit = None,
    batch_size: recipe_options.BatchSize = None,
    workers: common.Workers = None,
    amp: common.Amp = False,
    seed: common.Seed = 0,
    device: common.Device = "auto",
    fail_on_suspicious: common.FailOnSuspicious = False,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
    debug: common.Debug = False,
) -> None:
    """Audit a data set, train a model on it (or take yours) and remove its backdoor.

    Reads images and labels, nothing else. An interrupted run goes on when started again. Where
    the audit finds no evidence the paper's 5 % are unlearnt all the same.

    \b
    Examples:
      fctfast dbr --data-dir images --out runs/repair
      fctfast dbr --data-dir images --checkpoint model.safetensors --detection runs/audit
      fctfast dbr --data-dir images --detection runs/audit --alpha-p 0.05 --out runs/anyway
      fctfast dbr --data-dir images --checkpoint weights.pth --model torchvision:resnet18 \\
          --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --image-size 224
    """
    from fctfast.defend import DBR
    from fctfast.detect import Detection
    from fctfast.train import make_progress

    common.refuse_without_verdict(fail_on_suspicious, mode)
    if detection is not None:
        runs.refuse_what_detection_decides(mode=mode, draws=draws, transform=transform)
    weights_alone = checkpoint is not None and model is not None
    statistics = model_options.statistics(mean, std)
    if statistics is not None and not weights_alone:
        raise ValueError(
            "--mean and --std: they describe weights without a description, and need --checkpoint "
            "and --model"
        )
    given = model_options.describes_itself(checkpoint, model) if checkpoint else None
    size: int | tuple[int, int] | None = image_size
    if given is not None and image_size is None:
        size = given[1].image_size
    asked = choices.Asked(
        data_dir,
        recipe,
        mode=mode,
        alpha_c=None if detection else alpha_c,
        alpha_p=None if detection else alpha_p,
        draws=draws,
        transform=transform,
        # With weights alone these two name their network; the probe keeps the recipe's.
        model=None if weights_alone else model,
        width=None if weights_alone else width,
        batch_size=batch_size,
        amp=amp,
        split=split,
        image_size=size,
        limit=limit,
        device=device,
    )
    earlier = runs.earlier_detection(detection) if detection else None
    found = None
    if earlier is not None:
        found = Detection.load(earlier).resplit(*choices.shares(alpha_c, alpha_p))
        common.refuse_without_verdict(fail_on_suspicious, found.settings.get("mode"))
    chosen = asked.load_recipe()
    data = asked.open(chosen, seed=seed, workers=workers, quiet=quiet)
    config = asked.config(chosen, data.channels)
    DBR(config).check(data, found)  # before a folder is made that remembers all this
    if checkpoint is not None and model is not None:
        given = _with_network(checkpoint, model, width, statistics, data, config)
    out = out or runs.default_out("dbr", data_dir)
    facts = {
        "recipe": chosen.name,
        "checkpoint": runs.content(checkpoint),
        "network": asdict(given[1]) if given is not None and weights_alone else None,
        "detection": runs.content(earlier / "scores.parquet" if earlier else None),
        "shares": None if found is None else [found.split.alpha_c, found.split.alpha_p],
    }
    with runs.opened(out, "dbr", config, facts, seed=seed, data=data) as folder:
        repaired = DBR(config).run(
            data,
            checkpoint=None if given is None else given[0],
            info=None if given is None else given[1],
            detection=found,
            out=out,
            seed=seed,
            progress=make_progress(quiet=quiet),
            device=device,
        )
        result = {"recipe": chosen.name, **findings(out, data, repaired)}
        for name, records in repaired.history.items():
            folder.write_history(name, records)
        folder.finish_stage("repair")
    common.emit(result, lines_of(result, out), as_json=as_json)
    if fail_on_suspicious and repaired.detection.verdict.evidence != "no":
        raise typer.Exit(common.SUSPICIOUS)


def _with_network(
    checkpoint: Path,
    model: str,
    width: int | None,
    statistics: tuple[tuple[float, ...], tuple[float, ...]] | None,
    data: ImageSet,
    config: DBRConfig,
) -> tuple[nn.Module, ModelInfo]:
    """Open weights alone, and describe them so that the repaired file describes itself."""
    from fctfast.detect.probe import describe
    from fctfast.detect.scoring import normalisation
    from fctfast.train.recipes import ModelSettings

    mean, std = statistics or (config.detect.mean, config.detect.std)
    network = ModelSettings(name=model, width=width or ModelSettings().width)
    info = describe(network, data, *normalisation(data, None, mean, std))
    module = model_options.open_network(
        checkpoint,
        model,
        num_classes=data.num_classes,
        channels=data.channels,
        image_size=data.image_size,
        width=network.width,
    )
    return module, info


def findings(out: Path, data: ImageSet, repaired: Repaired) -> dict[str, Any]:
    """Write pictures, the list of suspicious samples and metrics.json of a repair.

    Args:
        out: run folder.
        data: the audited set.
        repaired: what D-BR made.

    Returns:
        What metrics.json holds.
    """
    from fctfast import io

    result = detect.findings(out, data, repaired.detection)
    result["repair"] = {
        "passes": repaired.passes,
        "paper_share": repaired.paper_share,
        "poison_still_predicted": repaired.kept["dp_kept"],
        "clean_still_predicted": repaired.kept["dc_kept"],
    }
    result["files"] |= {role: path.name for role, path in repaired.paths.items()}
    io.write_json(out / "metrics.json", result)
    return result


def lines_of(result: dict[str, Any], out: Path) -> list[str]:
    """Lay a repair out for a person.

    Args:
        result: from :func:`findings`.
        out: run folder.

    Returns:
        Lines.
    """
    repair = result["repair"]
    rows = {
        "D_p": PAPER_SHARE if repair["paper_share"] else None,
        "passes over D_p and D_c": repair["passes"],
        "D_p still as labelled": common.percent(repair["poison_still_predicted"]),
        "D_c still as labelled": common.percent(repair["clean_still_predicted"]),
        "repaired model": out / result["files"]["repaired"],
        "base model": out / result["files"]["base"],
    }
    return [*detect.lines_of(result, out), "Repair", *common.table(rows)]
