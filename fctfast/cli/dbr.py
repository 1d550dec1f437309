"""``fctfast dbr``: find the poison and repair the model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fctfast.cli import common, detect, model_options, runs
from fctfast.cli.common import guarded

if TYPE_CHECKING:
    from fctfast.data import ImageSet
    from fctfast.defend import Repaired


@guarded
def run(
    *,
    data_dir: common.DataDir,
    out: common.Out = None,
    checkpoint: model_options.Checkpoint = None,
    detection: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Run folder of an earlier detect on the same data."),
    ] = None,
    recipe: runs.Recipe = None,
    mode: detect.Mode = "robust",
    alpha_c: common.AlphaC = 0.2,
    alpha_p: common.AlphaP = 0.05,
    draws: detect.Draws = None,
    model: runs.Model = None,
    width: runs.Width = None,
    split: common.Split = "train",
    image_size: common.ImageSize = None,
    limit: common.Limit = None,
    batch_size: runs.TrainBatchSize = None,
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

    Reads images and labels, nothing else. An interrupted run goes on when started again.

    \b
    Examples:
      fctfast dbr --data-dir images --out runs/repair
      fctfast dbr --data-dir images --checkpoint model.safetensors --detection runs/audit
    """
    from fctfast.defend import DBR
    from fctfast.detect.split import check_alphas
    from fctfast.report import find_detection

    check_alphas(alpha_c, alpha_p)
    given = model_options.describes_itself(checkpoint, None) if checkpoint else None
    if given is not None and image_size is None:
        image_size = given[1].image_size[0]
    earlier = None
    if detection is not None:
        earlier = find_detection(detection)
        if earlier is None:
            raise FileNotFoundError(f"--detection: {detection} holds no detection")
    data = runs.open_data(
        data_dir, split, image_size, limit, seed=seed, workers=workers, quiet=quiet
    )
    name, config = runs.configure(
        recipe, data, model=model, width=width, batch_size=batch_size, amp=amp, draws=draws
    )
    config = replace(config, mode=mode, alpha_c=alpha_c, alpha_p=alpha_p)
    out = out or Path("runs") / f"dbr-{common.data_name(data_dir)}"
    settings = {"recipe": name, "checkpoint": _content(checkpoint), "detection": str(earlier or "")}
    with runs.opened(out, "dbr", config, settings, seed=seed, data=data) as progress:
        repaired = DBR(config).run(
            data,
            checkpoint=checkpoint,
            detection=earlier,
            out=out,
            seed=seed,
            progress=progress(quiet),
            device=device,
        )
        result = findings(out, data, repaired)
    common.emit(result, lines_of(result, out), as_json=as_json)
    if fail_on_suspicious and repaired.detection.verdict.evidence != "no":
        raise typer.Exit(common.SUSPICIOUS)


def _content(checkpoint: Path | None) -> str:
    """The checkpoint by content: a run must not go on with other weights under the same name."""
    from fctfast import io

    return "" if checkpoint is None else io.sha256_file(checkpoint)


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
    rounds = [r for r in repaired.history["removal"] if "dp_kept" in r]
    result["repair"] = {
        "rounds": repaired.rounds,
        "stopped_by_rule": repaired.stopped,
        "poison_still_predicted": rounds[-1]["dp_kept"] if rounds else None,
        "clean_still_predicted": rounds[-1]["dc_kept"] if rounds else None,
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
    ended = "the stopping rule was satisfied" if repair["stopped_by_rule"] else "budget used up"
    rows = {
        "rounds": f"{repair['rounds']}, {ended}",
        "D_p still as labelled": common.percent(repair["poison_still_predicted"]),
        "D_c still as labelled": common.percent(repair["clean_still_predicted"]),
        "repaired model": out / result["files"]["repaired"],
        "base model": out / result["files"]["base"],
    }
    return [*detect.lines_of(result, out), "Repair", *common.table(rows)]
