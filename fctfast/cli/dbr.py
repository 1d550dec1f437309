"""``fctfast dbr``: find the poison and repair the model."""

from __future__ import annotations

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
    mode: runs.Mode = "robust",
    alpha_c: runs.AlphaC = None,
    alpha_p: runs.AlphaP = None,
    draws: runs.Draws = None,
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
    """Audit a data set, train a model on it (or take yours) and remove its backdoor.

    Reads images and labels, nothing else. An interrupted run goes on when started again.

    \b
    Examples:
      fctfast dbr --data-dir images --out runs/repair
      fctfast dbr --data-dir images --checkpoint model.safetensors --detection runs/audit
    """
    from fctfast.defend import DBR
    from fctfast.train import make_progress

    given = model_options.describes_itself(checkpoint, None) if checkpoint else None
    if given is not None and image_size is None:
        image_size = given[1].image_size[0]
    asked = runs.Asked(
        data_dir,
        recipe,
        mode=mode,
        alpha_c=alpha_c,
        alpha_p=alpha_p,
        draws=draws,
        model=model,
        width=width,
        batch_size=batch_size,
        amp=amp,
        split=split,
        image_size=image_size,
        limit=limit,
        device=device,
    )
    earlier = runs.earlier_detection(detection) if detection else None
    chosen = asked.load_recipe()
    data = asked.open(chosen, seed=seed, workers=workers, quiet=quiet)
    config = asked.config(chosen, data.channels)
    out = out or runs.default_out("dbr", data_dir)
    facts = {
        "recipe": chosen.name,
        "checkpoint": _content(checkpoint),
        "detection": _content(earlier / "scores.parquet" if earlier else None),
    }
    with runs.opened(out, "dbr", config, facts, seed=seed, data=data) as folder:
        repaired = DBR(config).run(
            data,
            checkpoint=checkpoint,
            detection=earlier,
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


def _content(file: Path | None) -> str:
    """A file by content: a run must not go on with other weights under the same name."""
    from fctfast import io

    return "" if file is None else io.sha256_file(file)


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
