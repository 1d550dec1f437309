"""``fctfast demo``: the whole way on an embedded data set, in a few minutes on a CPU."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fctfast.cli import choices, common, dbr, evaluate, recipe_options, runs
from fctfast.cli.common import guarded

if TYPE_CHECKING:
    from fctfast.attacks import Attack
    from fctfast.defend import Repaired


TARGET, POISONED = 0, "poisoned"


@guarded
def run(
    *,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where the results go.")
    ] = Path("runs/demo"),
    attack: Annotated[str, typer.Option(metavar="NAME", help="Attack to try.")] = (
        "badnets-all2one"
    ),
    rate: Annotated[float, typer.Option(help="Share of the samples the attack can use.")] = 0.1,
    recipe: recipe_options.Recipe = "digits",
    limit: common.Limit = None,
    seed: common.Seed = 0,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
    debug: common.Debug = False,
) -> None:
    """Poison scikit-learn's digits, find the poison, repair the model, and measure it all.

    \b
    Examples:
      fctfast demo
      fctfast demo --attack blend-signal --out runs/demo-blend

    Digits hide blend-signal from FCT: docs/method.md says why.
    """
    from fctfast import attacks, io
    from fctfast.data import open_dataset
    from fctfast.defend import DBR
    from fctfast.train import make_progress

    began = time.monotonic()
    say = make_progress(quiet=quiet).note
    chosen = attacks.get(attack)
    asked = choices.Asked("digits", recipe, limit=limit)
    settings = asked.load_recipe()
    clean = asked.open(settings, seed=seed, workers=None, quiet=True)
    made = attacks.poison(
        clean, chosen, rate=rate, target=TARGET, seed=seed, progress=make_progress(quiet=quiet)
    )
    made.recipe["source"] = "digits"
    config = asked.config(settings, clean.channels)
    facts = {"recipe": settings.name, "attack": attack, "rate": rate}
    with runs.opened(out, "demo", config, facts, seed=seed, data=made.image_set) as folder:
        say(
            f"1. Poisoned scikit-learn's digits: {made.recipe['poisoned']} of {len(clean):,} "
            f"images carry the trigger of {chosen.name} and the label {TARGET}."
        )
        if not (out / POISONED / "recipe.json").exists():
            attacks.save_poisoned(made, out / POISONED)
        # From here to the evaluation only images and labels are read, as with anybody's data.
        data = open_dataset(out / POISONED)
        say("2. Training a probe, scoring by FCT, splitting; then base training and repair.")
        repaired = DBR(config).run(data, out=out, seed=seed, progress=make_progress(quiet=quiet))
        say("3. Evaluating, with the truth.")
        result = dbr.findings(out, data, repaired) | _measure(out, made.attack or chosen, repaired)
        io.write_json(out / "metrics.json", result)
        for name, records in repaired.history.items():
            folder.write_history(name, records)
        folder.finish_stage("demo")
    took = f"Took {time.monotonic() - began:.0f} s."
    common.emit(result, [*_lines(result, out), took], as_json=as_json)


def _measure(out: Path, attack: Attack, repaired: Repaired) -> dict[str, Any]:
    from fctfast.attacks.truth import read_truth
    from fctfast.data import open_dataset
    from fctfast.models import load_model
    from fctfast.report import evaluate as measure
    from fctfast.report import save_histogram, split_quality

    test = open_dataset("digits", split="test", image_size=repaired.info.image_size)
    truth = read_truth(out / POISONED)
    found = repaired.detection
    save_histogram(
        out / "histogram-truth.png",
        found.scores,
        found.split,
        truth=truth,
        title="FCT scores of the poisoned digits",
    )
    models = {}
    for role in ("base", "repaired"):
        model, info = load_model(repaired.paths[role])
        models[role] = measure(model, test, attack, TARGET, mean=info.mean, std=info.std)
    return {"quality": split_quality(found.scores, found.split, truth), "models": models}


def _lines(result: dict[str, Any], out: Path) -> list[str]:
    models = result["models"]
    table = [f"  {'':<10}{'ACC':>9}{'ASR':>9}{'triggered, true class':>24}"]
    for role in ("base", "repaired"):
        row = models[role]
        cells = [common.percent(row[k]) or "-" for k in ("acc", "asr", "triggered_true_acc")]
        table.append(f"  {role:<10}{cells[0]:>9}{cells[1]:>9}{cells[2]:>24}")
    return [
        *dbr.lines_of(result, out),
        *evaluate.lines_of({"detection": result["quality"]}),
        f"Models on {models['base']['test_samples']} clean test images, and with the trigger",
        *table,
        "",
        f"Everything is in {out}; look at {out / 'histogram-truth.png'} "
        f"and {out / 'suspicious.png'}.",
        "Next, on your own data: fctfast dbr --data-dir YOUR_FOLDER --out runs/mine",
        "  (a folder of class folders, a .zip, an .npz; `fctfast detect` for the audit alone)",
    ]
