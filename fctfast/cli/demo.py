"""``fctfast demo``: the whole way on an embedded data set, in a few minutes on a CPU."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fctfast.cli import common, dbr, evaluate, runs
from fctfast.cli.common import guarded

if TYPE_CHECKING:
    from fctfast.attacks import Attack
    from fctfast.defend import Repaired


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
    recipe: runs.Recipe = "digits",
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
    """
    from fctfast import attacks
    from fctfast.defend import DBR
    from fctfast.train import make_progress

    began = time.monotonic()
    say = make_progress(quiet=quiet).note
    chosen = attacks.get(attack)
    say("1. Poisoning scikit-learn's digits (32x32 RGB).")
    poisoned = _poisoned_folder(out, chosen, rate, limit, seed)
    recipe_of_set = attacks.read_recipe(poisoned)
    say(
        f"   {recipe_of_set['poisoned']} of {recipe_of_set['samples']} images carry the trigger of "
        f"{chosen.name} and the label {recipe_of_set['target']}."
    )
    # From here to the evaluation only images and labels are read, as with anybody's data.
    data = runs.open_data(str(poisoned), "train", None, None, seed=seed, workers=0, quiet=quiet)
    name, config = runs.configure(recipe, data)
    settings = {"recipe": name, "attack": attack, "rate": rate}
    say("2. Training the probe, scoring by FCT, splitting; then base training and repair.")
    with runs.opened(out, "demo", config, settings, seed=seed, data=data) as progress:
        repaired = DBR(config).run(data, out=out, seed=seed, progress=progress(quiet))
        say("3. Evaluating, with the truth.")
        result = _measure(out, poisoned, chosen, int(recipe_of_set["target"]), repaired)
        result = dbr.findings(out, data, repaired) | result
        from fctfast import io

        io.write_json(out / "metrics.json", result)
    seconds = time.monotonic() - began
    common.emit(result, [*_lines(result, out), f"Took {seconds:.0f} s."], as_json=as_json)


def _poisoned_folder(out: Path, attack: Attack, rate: float, limit: int | None, seed: int) -> Path:
    """Write the poisoned set, or take it from an interrupted demo."""
    from fctfast import attacks
    from fctfast.data import open_dataset

    folder = out / "poisoned"
    train = open_dataset("digits", split="train", limit=limit, seed=seed)
    made = attacks.poison(train, attack, rate=rate, target=0, seed=seed)
    made.recipe["source"] = "digits"
    if not (folder / "recipe.json").exists():
        attacks.save_poisoned(made, folder)
    elif attacks.read_recipe(folder)["fingerprint"] != made.recipe["fingerprint"]:
        raise ValueError(
            f"demo: {folder} holds another poisoned set; choose another --out or delete it"
        )
    return folder


def _measure(
    out: Path, poisoned: Path, attack: Attack, target: int, repaired: Repaired
) -> dict[str, Any]:
    from fctfast.attacks.truth import read_truth
    from fctfast.data import open_dataset
    from fctfast.models import load_model
    from fctfast.report import evaluate as measure
    from fctfast.report import save_histogram, split_quality

    test = open_dataset("digits", split="test")
    truth = read_truth(poisoned)
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
        models[role] = measure(model, test, attack, target, mean=info.mean, std=info.std)
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
