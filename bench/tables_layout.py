"""The rows of `tables.py` as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from sd_moments import CLEAN, Case
from tables_runs import Run, config_of

from fctfast.defend import DSTConfig

NAMES = {
    ("ss-ctl", "mce"): "D-ST",
    ("ctl", "mce"): "CTL + MCE",
    ("s-ctl", "mce"): "S-CTL + MCE",
    ("ctl", "ce"): "Baseline1 (CTL + CE)",
    ("s-ctl", "ce"): "Baseline2 (S-CTL + CE)",
    ("ss-ctl", "ce"): "SS-CTL + CE",
}


def lay_out(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Mean and range over seeds, a line for each set, the losses of both stages, and precision."""
    yield "| set, attack | run | seeds | ACC | ASR | extractor, classifier: seconds |"
    yield "|---|---|--:|--:|--:|---|"
    groups: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
    for row in rows:
        case, settings = Case(**row["case"]), row["settings"]
        name = NAMES[settings["extractor"]["learning"], settings["classifier"]["loss"]]
        weight = settings["classifier"]["lambda_p"]
        if settings["classifier"]["loss"] == "mce" and weight != DSTConfig().classifier.lambda_p:
            name += f", lambda_p {weight:g}"
        usual = config_of(case, Run("ss-ctl", "mce"))
        first, share = settings["extractor"], settings["detect"]["alpha_c"]
        if share != usual.detect.alpha_c:
            name += f", D_c {share:g}"
        if first["views"]["scale"][0] != usual.extractor.views.scale[0]:
            name += f", crops from {first['views']['scale'][0]:g}"
        if first["budget"]["epochs"] != usual.extractor.budget.epochs:
            name += f", {first['budget']['epochs']} epochs"
        for attack, seen in row["test"].items():
            rate = "no poison" if case.attack == CLEAN else f"{100 * case.rate:g} %"
            label = f"{case.data}, {row['samples']:,}, target {case.target}, {attack}, {rate}"
            trained = f"{name}, {row['versions']['auto_precision']}"
            # By seed: the sweep of lambda_p holds the table's own run, too.
            groups.setdefault((label, trained), {})[case.seed] = {**row, "seen": seen}
    for (label, name), by_seed in sorted(groups.items()):
        found = list(by_seed.values())
        cells = [_range([r["seen"][key] for r in found]) for key in ("acc", "asr")]
        spent = [
            f"{statistics.mean(r['seconds'][part] for r in found):.0f}"
            for part in ("extractor", "classifier")
        ]
        yield f"| {label} | {name} | {len(found)} | {cells[0]} | {cells[1]} | {', '.join(spent)} |"


def _range(values: Sequence[float]) -> str:
    mean = f"{100 * statistics.mean(values):.1f}"
    if len(values) == 1:
        return mean
    return f"{mean} ({100 * min(values):.1f} to {100 * max(values):.1f})"
