"""``fctfast dst``: find the poison and train a secure model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fctfast.cli import common, dbr, detect, runs
from fctfast.cli.common import guarded

if TYPE_CHECKING:
    from fctfast.data import ImageSet
    from fctfast.defend import Secured


@guarded
def run(
    *,
    data_dir: common.DataDir,
    out: common.Out = None,
    detection: dbr.EarlierDetection = None,
    recipe: runs.Recipe = None,
    extractor: Annotated[
        str | None,
        typer.Option(
            metavar="LOSS",
            help="Stage 1: ss-ctl (labels of D_c), s-ctl (all labels) or ctl (none); default: the "
            "recipe's, ss-ctl.",
        ),
    ] = None,
    classifier: Annotated[
        str | None,
        typer.Option(
            metavar="LOSS",
            help="Stage 2: mce (D_c and, against it, D_p) or ce (all samples). ctl with ce is the "
            "paper's Baseline1, s-ctl with ce its Baseline2; neither needs a detection. Default: "
            "the recipe's, mce.",
        ),
    ] = None,
    lambda_p: Annotated[
        float | None,
        typer.Option("--lambda-p", help="Weight of D_p in mce; default: the recipe's, 0.001."),
    ] = None,
    mode: runs.Mode = "robust",
    alpha_c: runs.AlphaC = None,
    alpha_p: runs.AlphaP = None,
    draws: runs.Draws = None,
    transform: runs.Transform = None,
    model: runs.Model = None,
    width: runs.Width = None,
    split: common.Split = "train",
    image_size: common.ImageSize = None,
    limit: common.Limit = None,
    batch_size: runs.BatchSize = None,
    workers: common.Workers = None,
    amp: common.Amp = False,
    seed: common.Seed = 0,
    device: common.Device = "auto",
    fail_on_suspicious: common.FailOnSuspicious = False,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
    debug: common.Debug = False,
) -> None:
    """Audit a data set and train a model on it that no backdoor gets into.

    Reads images and labels, nothing else. An interrupted run goes on when started again.

    \b
    Examples:
      fctfast dst --data-dir images --out runs/secure
      fctfast dst --data-dir images --detection runs/audit --lambda-p 0.01
      fctfast dst --data-dir images --extractor s-ctl --classifier ce --out runs/baseline2
    """
    from fctfast.defend import DST
    from fctfast.train import make_progress

    if detection is not None:
        dbr.refuse_what_detection_decides(
            mode=mode, alpha_c=alpha_c, alpha_p=alpha_p, draws=draws, transform=transform
        )
    asked = runs.Asked(
        data_dir,
        recipe,
        mode=mode,
        alpha_c=alpha_c,
        alpha_p=alpha_p,
        draws=draws,
        transform=transform,
        model=model,
        width=width,
        batch_size=batch_size,
        amp=amp,
        split=split,
        image_size=image_size,
        limit=limit,
        device=device,
    )
    chosen = asked.load_recipe()
    losses: dict[str, Any] = {
        "extractor": extractor, "classifier": classifier, "lambda_p": lambda_p
    }  # fmt: skip
    # Before minutes of decoding.
    needed = asked.secure_config(chosen, 3, **losses).needs_detection
    if detection is not None and not needed:
        raise ValueError(
            "--detection: neither stage uses one, with this extractor and classifier; leave it out"
        )
    earlier = runs.earlier_detection(detection) if detection else None
    data = asked.open(chosen, seed=seed, workers=workers, quiet=quiet)
    config = asked.secure_config(chosen, data.channels, **losses)
    out = out or runs.default_out("dst", data_dir)
    facts = {
        "recipe": chosen.name,
        "detection": dbr.content(earlier / "scores.parquet" if earlier else None),
    }
    with runs.opened(out, "dst", config, facts, seed=seed, data=data) as folder:
        secured = DST(config).run(
            data,
            detection=earlier,
            out=out,
            seed=seed,
            progress=make_progress(quiet=quiet),
            device=device,
        )
        result = {"recipe": chosen.name, **_findings(out, data, secured)}
        for name, records in secured.history.items():
            folder.write_history(name, records)
        folder.finish_stage("secure")
    common.emit(result, _lines(result, out), as_json=as_json)
    found = secured.detection
    if fail_on_suspicious and found is not None and found.verdict.evidence != "no":
        raise typer.Exit(common.SUSPICIOUS)


def _findings(out: Path, data: ImageSet, secured: Secured) -> dict[str, Any]:
    """Write pictures, the list of suspicious samples and metrics.json; return what that holds."""
    from fctfast import io

    found = secured.detection
    result: dict[str, Any] = detect.findings(out, data, found) if found else {"files": {}}
    last = {name: records[-1] for name, records in secured.history.items() if records}
    result["secure"] = {
        "extractor_passes": len(secured.history["extractor"]),
        "extractor_loss": last["extractor"]["loss"] if "extractor" in last else None,
        "classifier_passes": len(secured.history["classifier"]),
        "classifier_accuracy": last["classifier"]["accuracy"] if "classifier" in last else None,
    }
    result["files"] |= {role: path.name for role, path in secured.paths.items()}
    io.write_json(out / "metrics.json", result)
    return result


def _lines(result: dict[str, Any], out: Path) -> list[str]:
    secure = result["secure"]
    loss = secure["extractor_loss"]
    rows = {
        "extractor": f"{secure['extractor_passes']} passes"
        + ("" if loss is None else f", loss {loss:.3f}"),
        "classifier": f"{secure['classifier_passes']} passes, right on what it learns from: "
        f"{common.percent(secure['classifier_accuracy'])}",
        "secure model": out / result["files"]["secure"],
    }
    audit = detect.lines_of(result, out) if "verdict" in result else []
    return [*audit, "Secure training", *common.table(rows)]
