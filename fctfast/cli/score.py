"""``fctfast score``: FCT of every sample under a model the user has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fctfast.cli import common, model_options, runs
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
    transform: Annotated[str, typer.Option(help="rotate+affine, rotate or affine.")] = (
        "rotate+affine"
    ),
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
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where the results go.")
    ] = Path("runs/score"),
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
    from fctfast.detect import score
    from fctfast.detect.split import check_alphas
    from fctfast.report import save_findings
    from fctfast.train import make_progress

    check_alphas(alpha_c, alpha_p)
    opened = model_options.describes_itself(checkpoint, model)
    if image_size is None and opened is not None:
        image_size = opened[1].image_size[0]
    data = runs.open_data(
        data_dir, split, image_size, limit, seed=seed, workers=workers, quiet=quiet
    )
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
    given = model_options.statistics(mean, std)
    if given is None and opened is not None:
        given = (opened[1].mean, opened[1].std)
    scores = score(
        data,
        model=network,
        transform=transform,
        draws=draws,
        seed=seed,
        mean=given[0] if given else None,
        std=given[1] if given else None,
        batch_size=batch_size,
        device=device,
        precision="bfloat16" if amp else "auto",
        feature_layer=feature_layer,
        progress=make_progress(quiet=quiet),
    )
    parts = scores.split(alpha_c, alpha_p)
    table = scores.save(out / "scores.parquet", parts)
    files = save_findings(out, data, scores, parts)
    result = {
        "data": data.name,
        "scored": len(scores),
        "quarantined": len(scores.quarantined),
        "split": parts.summary(),
        "settings": scores.settings,
        "files": {"scores": str(table), **{name: str(file) for name, file in files.items()}},
    }
    rows = {
        "scored": f"{len(scores):,} samples, {len(scores.quarantined)} unreadable",
        "kept as clean (D_c)": f"{len(parts.clean):,}, FCT up to {common.number(parts.gamma_c)}",
        "suspicious (D_p)": f"{len(parts.poisoned):,}, FCT from {common.number(parts.gamma_p)}",
        "results": out,
    }
    common.emit(result, [f"Scored {data.name}.", *common.table(rows)], as_json=as_json)
