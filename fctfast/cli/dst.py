"""``fctfast dst``: find the poison and train a secure model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fctfast.cli import choices, common, detect, recipe_options, runs
from fctfast.cli.common import guarded

if TYPE_CHECKING:
    from fctfast.data import ImageSet
    from fctfast.defend import DSTConfig, Secured


@guarded
def run(
    *,
    data_dir: common.DataDir,
    out: common.Out = None,
    detection: recipe_options.EarlierDetection = None,
    recipe: recipe_options.Recipe = None,
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
    """Audit a data set and train a new model on it that takes the labels of D_c alone.

    Reads images and labels, nothing else. An interrupted run goes on when started again. Where the
    audit finds no evidence D_c is the paper's 20 %.

    \b
    Examples:
      fctfast dst --data-dir images --out runs/secure
      fctfast dst --data-dir images --detection runs/audit --lambda-p 0.01
      fctfast dst --data-dir images --extractor s-ctl --classifier ce --out runs/baseline2
    """
    from fctfast.defend import DST
    from fctfast.defend.classifier import LOSSES
    from fctfast.defend.extractor import LEARNING
    from fctfast.detect import Detection
    from fctfast.train import make_progress

    about_audit: dict[str, Any] = {"mode": mode, "draws": draws, "transform": transform}
    if detection is not None:
        runs.refuse_what_detection_decides(**about_audit)
    asked = choices.Asked(
        data_dir,
        recipe,
        mode=mode,
        alpha_c=None if detection else alpha_c,
        alpha_p=None if detection else alpha_p,
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
    for option, loss, known in (
        ("--extractor", extractor, LEARNING),
        ("--classifier", classifier, LOSSES),
    ):
        if loss is not None and loss not in known:
            raise ValueError(f"{option}: expected one of {', '.join(known)}, got {loss!r}")
    chosen = asked.load_recipe()
    losses: dict[str, Any] = {
        "extractor": extractor, "classifier": classifier, "lambda_p": lambda_p
    }  # fmt: skip
    # Before minutes of decoding.
    planned = asked.secure_config(chosen, 3, **losses)
    if planned.classifier.loss != "mce" and lambda_p is not None:
        raise ValueError("--lambda-p: it weighs D_p in --classifier mce, and nothing else")
    if not planned.needs_detection:
        _refuse_what_needs_an_audit(
            planned.title,
            {**about_audit, "alpha_c": alpha_c, "alpha_p": alpha_p, "detection": detection},
            fail_on_suspicious,
        )
    common.refuse_without_verdict(fail_on_suspicious, mode)
    earlier = runs.earlier_detection(detection) if detection else None
    given = None
    if earlier is not None:
        given = Detection.load(earlier).resplit(*choices.shares(alpha_c, alpha_p))
        common.refuse_without_verdict(fail_on_suspicious, given.settings.get("mode"))
    data = asked.open(chosen, seed=seed, workers=workers, quiet=quiet)
    config = asked.secure_config(chosen, data.channels, **losses)
    DST(config).check(data, given)  # before a folder is made that remembers all this
    out = out or runs.default_out("dst", data_dir)
    facts = {
        "recipe": chosen.name,
        "detection": runs.content(earlier / "scores.parquet" if earlier else None),
        "shares": None if given is None else [given.split.alpha_c, given.split.alpha_p],
    }
    with runs.opened(out, "dst", config, facts, seed=seed, data=data) as folder:
        secured = DST(config).run(
            data,
            detection=given,
            out=out,
            seed=seed,
            progress=make_progress(quiet=quiet),
            device=device,
        )
        result = {"recipe": chosen.name, **_findings(out, data, config, secured)}
        for name, records in secured.history.items():
            folder.write_history(name, records)
        folder.finish_stage("secure")
    common.emit(result, _lines(result, out), as_json=as_json)
    found = secured.detection
    if fail_on_suspicious and found is not None and found.verdict.evidence != "no":
        raise typer.Exit(common.SUSPICIOUS)


def _refuse_what_needs_an_audit(
    title: str, options: dict[str, Any], fail_on_suspicious: bool
) -> None:
    options["mode"] = options["mode"] if options["mode"] == "published" else None
    asked = [f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None]
    asked += ["--fail-on-suspicious"] * fail_on_suspicious
    if asked:
        raise ValueError(
            f"{', '.join(asked)}: {title} has no audit, with this extractor and classifier; leave "
            "it out"
        )


def _findings(out: Path, data: ImageSet, config: DSTConfig, secured: Secured) -> dict[str, Any]:
    """Write pictures, the list of suspicious samples and metrics.json; return what that holds."""
    from fctfast import io
    from fctfast.defend.given import paper_labels

    found = secured.detection
    result: dict[str, Any] = detect.findings(out, data, found) if found else {"files": {}}
    last = {name: records[-1] for name, records in secured.history.items() if records}
    absent: list[str] = []
    if found is not None:
        present = set(data.labels[data.positions(found.split.clean)].tolist())
        absent = [name for c, name in enumerate(data.class_names) if c not in present]
    result["secure"] = {
        "run": config.title,
        "extractor_passes": len(secured.history["extractor"]),
        "extractor_loss": last["extractor"]["loss"] if "extractor" in last else None,
        "classifier_passes": len(secured.history["classifier"]),
        "poison_still_predicted": secured.kept["dp_kept"],
        "clean_still_predicted": secured.kept["dc_kept"],
        "nothing_to_forget": config.classifier.loss == "mce"
        and found is not None
        and not len(found.split.poisoned),
        "classes_without_clean_samples": absent,
        "paper_labels": paper_labels(found) if found is not None else "",
    }
    result["files"] |= {role: path.name for role, path in secured.paths.items()}
    io.write_json(out / "metrics.json", result)
    return result


def lines_of(secure: dict[str, Any]) -> list[str]:
    """Lay the training out for a person.

    Args:
        secure: the part of that name in metrics.json.
    """
    loss = secure["extractor_loss"]
    rows = {
        "extractor": f"{secure['extractor_passes']} passes"
        + ("" if loss is None else f", loss {loss:.3f}"),
        "classifier": f"{secure['classifier_passes']} passes",
    }
    for part, key in (("D_p", "poison_still_predicted"), ("D_c", "clean_still_predicted")):
        if secure[key] is not None:
            rows[f"{part} still as labelled"] = str(common.percent(secure[key]))
    if secure.get("nothing_to_forget"):
        rows["D_p"] = "empty: mce is plain cross-entropy on D_c, and --lambda-p weighs nothing"
    if secure.get("paper_labels"):  # a run in Python does not say
        rows["labels"] = secure["paper_labels"]
    if secure.get("classes_without_clean_samples"):
        rows["never learnt"] = (
            "classes without a sample in D_c: "
            f"{', '.join(secure['classes_without_clean_samples'])}; choose a larger --alpha-c"
        )
    return [f"Training, {secure['run']}", *common.table(rows)]


def _lines(result: dict[str, Any], out: Path) -> list[str]:
    audit = detect.lines_of(result, out) if "verdict" in result else []
    model = common.table({"model": out / result["files"]["secure"]})
    return [*audit, *lines_of(result["secure"]), *model]
