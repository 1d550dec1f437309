"""``fctfast report``: what a run folder holds, on one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fctfast.cli import common, dbr, detect, dst, evaluate
from fctfast.cli.common import guarded

if TYPE_CHECKING:
    from fctfast.attacks.truth import Truth
    from fctfast.detect import Detection


@guarded
def run(
    *,
    run_folder: Annotated[
        Path, typer.Argument(metavar="RUN", help="Run folder of detect, dbr, dst or demo.")
    ],
    poisoned: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Set written by `fctfast poison`: its truth is compared and drawn.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FOLDER", help="Also write report.json and pictures."),
    ] = None,
    data_dir: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="The audited data: with --out, also draws feature-map.png, the probe's features "
            "before and after tau (t-SNE; up to a minute).",
        ),
    ] = None,
    split: common.Split = "train",
    limit: common.Limit = None,
    as_json: common.Json = False,
    debug: common.Debug = False,
) -> None:
    """Show the results of a run: settings, audit, repair, files; with the truth, how right it was.

    \b
    Examples:
      fctfast report runs/audit
      fctfast report runs/audit --poisoned poisoned --out report
      fctfast report runs/audit --data-dir poisoned --poisoned poisoned --out report
    """
    from fctfast import io
    from fctfast.attacks.truth import read_truth
    from fctfast.defend import find_detection
    from fctfast.detect import Detection
    from fctfast.report import save_histogram, save_moments, summarise

    if data_dir is None and (limit is not None or split != "train"):
        raise ValueError("--split and --limit say how --data-dir is opened; give it as well")
    if data_dir is not None and out is None:
        raise ValueError("--data-dir: the feature map needs a folder to go to; give --out as well")
    truth = read_truth(poisoned) if poisoned is not None else None
    result = summarise(run_folder, truth)
    if out is not None:
        place = find_detection(run_folder)
        found = None if place is None else Detection.load(place)
        if data_dir is not None:  # first: what it refuses leaves no half of a report behind
            if place is None or found is None:
                raise ValueError(f"--data-dir: {run_folder} holds no finished detection to draw")
            _feature_map(out / "feature-map.png", place, found, data_dir, split, limit, truth)
        io.write_json(out / "report.json", result)
        if found is not None:
            title = f"FCT scores of {run_folder.name}"
            save_histogram(
                out / "histogram.png", found.scores, found.split, truth=truth, title=title
            )
            save_moments(
                out / "moments.png",
                found.snapshots,
                (found.settings["step"], found.settings["score"]["transform"]),
                title=f"Moments of the probe of {run_folder.name}",
            )
    common.emit(result, _lines(result, run_folder), as_json=as_json)


def _feature_map(
    path: Path,
    place: Path,
    found: Detection,
    data_dir: str,
    split: str,
    limit: int | None,
    truth: Truth | None,
) -> None:
    import torch

    from fctfast.data import open_dataset
    from fctfast.detect.detection import PROBE_FILE
    from fctfast.models import load_model
    from fctfast.report import save_feature_map

    if not (place / PROBE_FILE).is_file():
        raise ValueError(
            f"--data-dir: the probe of this audit is not in {place}; give the run folder that the "
            "audit was made in"
        )
    probe, info = load_model(str(place / PROBE_FILE))
    seed = int(found.settings["seed"])
    size = info.image_size
    data = open_dataset(data_dir, split=split, image_size=size, limit=limit, seed=seed)
    if data.fingerprint() != found.settings["data"]:
        raise ValueError(
            f"--data-dir: {data_dir} is not the data of this audit as it was opened then; give the "
            "same path, --split and --limit"
        )
    if truth is None:
        marked, called = torch.isin(data.ids, found.split.poisoned), "suspicious, $D_p$"
    else:
        marked, called = truth.poisoned_among(data.ids), "truly poisoned"
    save_feature_map(
        path,
        probe,
        data,
        marked,
        mean=info.mean,
        std=info.std,
        transform=found.settings["score"]["transform"],
        seed=seed,
        marked_as=called,
        title=f"Features of {place.name}",
    )


def _lines(result: dict[str, Any], folder: Path) -> list[str]:
    lines = [f"Run {folder}"]
    about = result.get("run", {})
    facts = {name: about.get(name) for name in ("command", "status", "seed")}
    lines += common.table({name: value for name, value in facts.items() if value is not None})
    if "detection" in result:
        split, verdict = result["detection"]["split"], result["detection"]["verdict"]
        rows = {
            "evidence of poisoning": verdict["evidence"],
            "samples": f"{result['detection']['samples']:,}, "
            f"{result['detection']['quarantined']:,} unreadable",
            "D_c": f"{split['clean']:,}, FCT up to {common.number(split['gamma_c'])}",
            "D_p": detect.suspicious(split),
        }
        lines += ["Audit", *common.table(rows)]
    if "quality" in result:
        lines += evaluate.lines_of({"detection": result["quality"]})
    if "repair" in result:
        repair = result["repair"]
        shares = {
            "D_p": dbr.PAPER_SHARE if repair["paper_share"] else None,
            "passes": repair["passes"],
            "D_p still as labelled": common.percent(repair["poison_still_predicted"]),
            "D_c still as labelled": common.percent(repair["clean_still_predicted"]),
        }
        lines += ["Repair", *common.table(shares)]
    # metrics.json, which the command writes, says more.
    secure = result.get("metrics", {}).get("secure", result.get("secure"))
    if secure is not None:
        lines += dst.lines_of(secure)
    for role, measured in result.get("metrics", {}).get("models", {}).items():
        numbers = {
            name: common.percent(measured.get(name))
            for name in ("acc", "acc_non_target", "asr", "triggered_true_acc")
        }
        lines += [f"Model: {role}", *common.table(numbers)]
    return [*lines, "Files", *(f"  {name}" for name in result["files"])]
