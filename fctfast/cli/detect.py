"""``fctfast detect``: audit a data set for poisoned samples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fctfast.cli import choices, common, recipe_options, runs
from fctfast.cli.common import guarded

if TYPE_CHECKING:
    from fctfast.data import ImageSet
    from fctfast.detect import Detection


@guarded
def run(
    *,
    data_dir: common.DataDir,
    out: common.Out = None,
    recipe: recipe_options.Recipe = None,
    mode: recipe_options.Mode = "robust",
    alpha_c: recipe_options.AlphaC = None,
    alpha_p: recipe_options.AlphaP = None,
    draws: recipe_options.Draws = None,
    transform: recipe_options.Transform = None,
    model: recipe_options.Model = None,
    width: recipe_options.Width = None,
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
    """Audit a data set: score every sample by FCT, split, and say whether it looks poisoned.

    Reads images and labels, nothing else. An interrupted run goes on when started again.

    \b
    Examples:
      fctfast detect --data-dir images --out runs/audit
      fctfast detect --data-dir cifar10.zip --recipe cifar10-cpu --fail-on-suspicious
      fctfast detect --data-dir poisoned --mode published --json
      fctfast detect --data-dir images --transform blur+rotate --out runs/blurred
      fctfast detect --data-dir images --alpha-c 0.2 --alpha-p 0.05 --out runs/paper
    """
    from fctfast.detect import detect
    from fctfast.train import make_progress

    common.refuse_without_verdict(fail_on_suspicious, mode)
    asked = choices.Asked(
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
    data = asked.open(chosen, seed=seed, workers=workers, quiet=quiet)
    config = asked.config(chosen, data.channels).detect
    out = out or runs.default_out("detect", data_dir)
    facts = {"recipe": chosen.name, "mode": mode}
    with runs.opened(out, "detect", config, facts, seed=seed, data=data) as folder:
        found = detect(
            data,
            mode=mode,
            settings=config,
            seed=seed,
            draws=draws,
            device=device,
            progress=make_progress(quiet=quiet),
            out=out,
        )
        result = {"recipe": chosen.name, **findings(out, data, found)}
        folder.finish_stage("detect")
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
    target = found.verdict.suspected_target
    result = {
        "data": data.name,
        "suspected_target": None if target is None else data.class_names[target],
        "samples": len(found.scores),
        "image_size": list(data.image_size),
        "quarantined": len(found.scores.quarantined),
        "scored": {
            "step": found.settings["step"],
            "transform": found.settings["score"]["transform"],
        },
        "split": found.split.summary(),
        "verdict": found.verdict.summary(),
        "rate": None if found.rate is None else found.rate.summary(),
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
    size = "x".join(map(str, result["image_size"]))
    rows = {
        "samples": f"{result['samples']:,} scored at {size}, {result['quarantined']:,} unreadable",
        "scored by": f"the probe at step {result['scored']['step']:,}, "
        f"tau {result['scored']['transform']}",
        "kept as clean (D_c)": f"{split['clean']:,}, FCT up to {common.number(split['gamma_c'])}",
        "suspicious (D_p)": suspicious(split),
        "suspected target": result["suspected_target"],
        "poisoned, estimated": _estimate(result["rate"]),
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


def suspicious(split: dict[str, Any]) -> str:
    """Describe D_p in a few words.

    Args:
        split: summary of a split.
    """
    if not split["poisoned"]:
        return "nobody"
    return f"{split['poisoned']:,}, FCT from {common.number(split['gamma_p'])}"


def _estimate(rate: dict[str, float] | None) -> str | None:
    if rate is None:
        return None
    return f"{rate['rate']:.1%} of the samples ({rate['low']:.1%} to {rate['high']:.1%})"
