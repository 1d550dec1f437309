"""``fctfast score``: FCT of every sample under a model the user has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fctfast.cli import common, model_options, recipe_options, runs
from fctfast.cli.common import guarded


@guarded
def run(
    *,
    data_dir: common.DataDir,
    checkpoint: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Weights: a checkpoint of fctfast, or with --model any .safetensors, .pt or .pth "
            "(read as weights only).",
        ),
    ],
    model: model_options.Model = None,
    num_classes: model_options.NumClasses = None,
    mean: model_options.Mean = None,
    std: model_options.Std = None,
    feature_layer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Layer that gives the features, if unclear.")
    ] = None,
    transform: Annotated[
        str, typer.Option(metavar="A+B", help=f"{recipe_options.TRANSFORM_HELP}.")
    ] = "rotate+affine",
    draws: Annotated[int, typer.Option(min=1, help="Transformed views of each sample.")] = 4,
    alpha_c: common.AlphaC = 0.2,
    alpha_p: common.AlphaP = 0.05,
    split: common.Split = "train",
    image_size: common.ImageSize = None,
    limit: common.Limit = None,
    batch_size: common.BatchSize = 256,
    workers: common.Workers = None,
    amp: common.Amp = False,
    seed: common.Seed = 0,
    device: common.Device = "auto",
    out: common.Out = None,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
    debug: common.Debug = False,
) -> None:
    """Score every sample by FCT under a model you have, and split by the scores.

    \b
    Examples:
      fctfast score --data-dir images --checkpoint run/model.safetensors
      fctfast score --data-dir images --model timm:resnet50 --checkpoint weights.safetensors \\
          --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --image-size 224
    """
    import torch

    from fctfast import io
    from fctfast.detect import score
    from fctfast.detect.fct import FctSettings
    from fctfast.detect.scoring import normalisation
    from fctfast.detect.split import check_alphas, split_scores
    from fctfast.models import as_feature_model
    from fctfast.report import save_findings
    from fctfast.train import make_progress, resolve_device

    check_alphas(alpha_c, alpha_p)
    settings = FctSettings(
        transform, draws=draws, batch_size=batch_size, precision="bfloat16" if amp else "auto"
    )
    place = resolve_device(device)
    opened = model_options.describes_itself(checkpoint, model)
    info = opened[1] if opened is not None else None
    size = image_size or (info.image_size if info is not None else None)
    data = runs.open_data(data_dir, split, size, limit, seed=seed, workers=workers, quiet=quiet)
    network = (
        opened[0]
        if opened is not None
        else model_options.open_network(
            checkpoint,
            str(model),
            num_classes=num_classes or data.num_classes,
            channels=data.channels,
            image_size=data.image_size,
        )
    )
    given = model_options.statistics(mean, std) or (None, None)
    means, stds = normalisation(data, info, *given)
    # Mistakes are refused before the folder is opened: a run that failed in it would stand in the
    # way of the corrected command.
    as_feature_model(network, feature_layer=feature_layer)
    split_scores(data.ids, torch.zeros(len(data)), alpha_c=alpha_c, alpha_p=alpha_p)
    out = out or runs.default_out("score", data_dir)
    facts = {
        "model": info.arch if info is not None else model,
        "checkpoint": io.sha256_file(checkpoint),
        "feature_layer": feature_layer,
        "mean": means,
        "std": stds,
        "alpha_c": alpha_c,
        "alpha_p": alpha_p,
    }
    with runs.opened(out, "score", settings, facts, seed=seed, data=data) as folder:
        scores = score(
            data,
            model=network,
            transform=settings.transform,
            draws=settings.draws,
            seed=seed,
            mean=means,
            std=stds,
            batch_size=settings.batch_size,
            device=str(place),
            precision=settings.precision,
            feature_layer=feature_layer,
            progress=make_progress(quiet=quiet),
        )
        parts = scores.split(alpha_c, alpha_p)
        table = scores.save(out / "scores.parquet", parts)
        files = {"scores": table, **save_findings(out, data, scores, parts)}
        result = {
            "data": data.name,
            "scored": len(scores),
            "quarantined": len(scores.quarantined),
            "split": parts.summary(),
            "settings": scores.settings,
            "files": {name: file.name for name, file in files.items()},
        }
        io.write_json(out / "metrics.json", result)
        folder.finish_stage("score")
    rows = {
        "scored": f"{len(scores):,} samples, {len(scores.quarantined)} unreadable",
        "kept as clean (D_c)": f"{len(parts.clean):,}, FCT up to {common.number(parts.gamma_c)}",
        "suspicious (D_p)": f"{len(parts.poisoned):,}, FCT from {common.number(parts.gamma_p)}",
        "results": out,
    }
    common.emit(result, [f"Scored {data.name}.", *common.table(rows)], as_json=as_json)
