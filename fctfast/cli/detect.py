"""``fctfast detect``: audit a data set for poisoned samples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fctfast.cli import common, runs
from fctfast.cli.common import guarded

if TYPE_CHECKING:
    from fctfast.data import ImageSet
    from fctfast.detect import Detection

Mode = Annotated[
    str, typer.Option(help="robust (with guards) or published (the paper's code, no guards).")
]
Draws = Annotated[
    int | None,
    typer.Option(min=1, help="Transformed views of each sample; default: the recipe's."),
]


@guarded
def run(
    *,
    data_dir: common.DataDir,
    out: common.Out = None,
    recipe: runs.Recipe = None,
    mode: Mode = "robust",
    alpha_c: common.AlphaC = 0.2,
    alpha_p: common.AlphaP = 0.05,
    draws: Draws = None,
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
    """Audit a data set: score every sample by FCT, split, and say whether it looks poisoned.

    Reads images and labels, nothing else. An interrupted run goes on when started again.

    \b
    Examples:
      fctfast detect --data-dir images --out runs/audit
      fctfast detect --data-dir cifar10.zip --recipe cifar10-cpu --fail-on-suspicious
      fctfast detect --data-dir poisoned --mode published --json
    """
    from fctfast.detect import detect
    from fctfast.detect.split import check_alphas

    check_alphas(alpha_c, alpha_p)
    data = runs.open_data(
        data_dir, split, image_size, limit, seed=seed, workers=workers, quiet=quiet
    )
    name, config = runs.configure(
        recipe, data, model=model, width=width, batch_size=batch_size, amp=amp, draws=draws
    )
    out = out or Path("runs") / f"detect-{common.data_name(data_dir)}"
    settings = {"recipe": name, "mode": mode, "alpha_c": alpha_c, "alpha_p": alpha_p}
    with runs.opened(out, "detect", config.detect, settings, seed=seed, data=data) as progress:
        found = detect(
            data,
            mode=mode,
            settings=config.detect,
            seed=seed,
            alpha_c=alpha_c,
            alpha_p=alpha_p,
            device=device,
            progress=progress(quiet),
            out=out,
        )
        result = findings(out, data, found)
    common.emit(result, lines_of(result, out), as_json=as_json)
    if fail_on_suspicious and found.verdict.evidence != "no":
        raise typer.Exit(common.SUSPICIOUS)


def findings(out: Path, data: ImageSet, found: Detection) -> dict[str, Any]:
    """Write pictures, the list of suspicious samples and metrics.json.

    Args:
        out: run folder.
        data: the audited set.
        found: the detection.

    Returns:
        What metrics.json holds.
    """
    from fctfast import io
    from fctfast.report import save_findings

    files = save_findings(out, data, found.scores, found.split)
    result = {
        "data": data.name,
        "samples": len(found.scores),
        "quarantined": len(found.scores.quarantined),
        "split": found.split.summary(),
        "verdict": found.verdict.summary(),
        "files": {name: file.name for name, file in files.items()},
    }
    io.write_json(out / "metrics.json", result)
    return result


def lines_of(result: dict[str, Any], out: Path) -> list[str]:
    """Lay an audit out for a person.

    Args:
        result: from :func:`findings`.
        out: run folder.

    Returns:
        Lines.
    """
    split, verdict = result["split"], result["verdict"]
    rows = {
        "samples": f"{result['samples']:,} scored, {result['quarantined']:,} unreadable",
        "kept as clean (D_c)": f"{split['clean']:,}, FCT up to {common.number(split['gamma_c'])}",
        "suspicious (D_p)": f"{split['poisoned']:,}, FCT from {common.number(split['gamma_p'])}",
        "suspected target": verdict["suspected_target"],
        "list": out / result["files"]["list"],
        "pictures": ", ".join(
            str(out / result["files"][name])
            for name in ("histogram", "sheet")
            if name in result["files"]
        ),
    }
    answer = {"yes": "YES", "no": "no", "unclear": "unclear"}[verdict["evidence"]]
    return [
        f"Audit of {result['data']}: evidence of poisoning: {answer}",
        *(f"  - {reason}" for reason in verdict["reasons"]),
        *common.table(rows),
    ]
