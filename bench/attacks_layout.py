"""The rows of `attacks_table.py` as Markdown, and the bars they are held against."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from sd_moments import CLEAN

Row = dict[str, Any]
BASE_ASR = 0.85
ALL_TO_ALL = 0.9
BELOW_CLEAN, BELOW_BASE = 0.03, 0.02
REPAIRED_ASR, ABOVE_CLEAN = 0.05, 0.02
EXACT = 1e-9
"""Shares that are equal on paper differ by this much as floats."""


def asr_bar(row: Row) -> float:
    """ASR from which a base model counts as backdoored: all-to-all cannot exceed its accuracy."""
    return ALL_TO_ALL * row["base"]["acc"] if row["kind"] == "all2all" else BASE_ASR


def reaches(row: Row) -> bool:
    """Whether the base model is backdoored."""
    return bool(row["base"]["asr"] >= asr_bar(row) - EXACT)


def chosen(rows: Sequence[Row]) -> Row:
    """Of one attack at several rates: the smallest that is backdoored, else the most successful."""
    by_rate = sorted(rows, key=lambda row: row["case"]["rate"])
    most = max(by_rate, key=lambda row: row["base"]["asr"])
    return next((row for row in by_rate if reaches(row)), most)


def missed(row: Row, clean: dict[str, Any] | None) -> Iterator[str]:
    """The bars that a row misses, and what is not measured yet.

    Args:
        row: of a poisoned case.
        clean: the clean network under the same trigger, or None.
    """
    base = row["base"]
    if not reaches(row):
        yield f"base ASR {_percent(base['asr'])} < {_percent(asr_bar(row))}"
    if clean is None:
        yield "no clean model yet"
    elif base["acc"] < clean["acc"] - BELOW_CLEAN - EXACT:
        yield f"base ACC {_percent(base['acc'])} < {_percent(clean['acc'] - BELOW_CLEAN)}"
    if "repair" not in row:
        yield "not repaired yet"
        return
    after = row["repair"]["curve"][-1]
    allowed = max(REPAIRED_ASR, 0.0 if clean is None else clean["asr"] + ABOVE_CLEAN)
    if after["asr"] > allowed + EXACT:
        yield f"ASR after D-BR {_percent(after['asr'])} > {_percent(allowed)}"
    if after["acc"] < base["acc"] - BELOW_BASE - EXACT:
        yield f"ACC after D-BR {_percent(after['acc'])} < {_percent(base['acc'] - BELOW_BASE)}"


def lay_out(rows: Sequence[Row]) -> Iterator[str]:
    """A table for each set, seed and target, and the rates that were tried."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        case = row["case"]
        key = (case["data"], row["samples"], case["seed"], case["target"])
        groups.setdefault(key, []).append(row)
    for (data, samples, seed, target), group in sorted(groups.items()):
        yield f"## {data}, {samples:,} images, seed {seed}, target {target}\n"
        yield from _table(group)
    made = {(row["commit"], row["versions"]["torch"], row["versions"]["gpu"]) for row in rows}
    for code, torch, gpu in sorted(made):
        yield f"Commit {code}, torch {torch}, GPU {gpu}."


def _table(rows: Sequence[Row]) -> Iterator[str]:
    clean: dict[str, Any] = {}
    by_attack: dict[str, list[Row]] = {}
    for row in rows:
        if row["case"]["attack"] == CLEAN:
            clean |= row["clean"]
        else:
            by_attack.setdefault(row["case"]["attack"], []).append(row)
    yield (
        "| attack | poisoned | clean model ACC / ASR | backdoored ACC / ASR | D-BR ACC / ASR | "
        "passes | verdict (target) | AUROC | D_p poisoned: paper; auto | "
        "D_c clean: paper; auto | seconds: poison, base, audit, D-BR | bars |"
    )
    yield "|---" * 12 + "|"
    picked = [chosen(by_attack[name]) for name in sorted(by_attack)]
    for row in picked:
        yield "| " + " | ".join(_cells(row, clean.get(row["case"]["attack"]))) + " |"
    repaired = [row for row in picked if "repair" in row]
    if repaired:
        both = [row["base"] for row in repaired], [row["repair"]["curve"][-1] for row in repaired]
        means = [
            {key: statistics.mean(seen[key] for seen in part) for key in ("acc", "asr")}
            for part in both
        ]
        yield f"| mean of {len(repaired)} | | | {_pair(means[0])} | {_pair(means[1])} |" + " |" * 7
    yield ""
    if any(row["repair"]["paper_share"] for row in repaired):
        yield 'Where "auto" flags nobody, D-BR took the paper\'s 5 %.\n'
    ladders = {name: tried for name, tried in by_attack.items() if len(tried) > 1}
    if ladders:
        yield "| attack | rate | poisoned | backdoored ACC / ASR | reaches the bar |"
        yield "|---" * 5 + "|"
        for name, tried in sorted(ladders.items()):
            for row in sorted(tried, key=lambda row: row["case"]["rate"]):
                yield (
                    f"| {name} | {100 * row['case']['rate']:g} % | {row['poisoned']:,} | "
                    f"{_pair(row['base'])} | {'yes' if reaches(row) else 'no'} |"
                )
        yield ""


def _cells(row: Row, clean: dict[str, Any] | None) -> Iterator[str]:
    yield row["case"]["attack"]
    yield f"{row['poisoned']:,} ({100 * row['case']['rate']:g} % of {row['rate_of']})"
    yield _pair(clean)
    yield _pair(row["base"])
    repair, audit = row.get("repair"), row.get("audit")
    if repair is None or audit is None:
        yield from ["-"] * 6
    else:
        yield _pair(repair["curve"][-1])
        yield str(len(repair["curve"]) - 1)
        yield f"{audit['verdict']['evidence']} ({_target(audit['verdict'])})"
        yield f"{audit['auroc']:.4f}"
        for share, part in (("alpha_p", "d_p_poisoned"), ("alpha_c", "d_c_clean")):
            yield "; ".join(_pure(audit[how], share, part) for how in ("paper", "auto"))
    spent = (row["seconds"].get(part) for part in ("poison", "base", "audit", "repair"))
    yield ", ".join("-" if s is None else f"{s:.0f}" for s in spent)
    yield _bars(list(missed(row, clean)))


def _bars(found: Sequence[str]) -> str:
    wrong = [text for text in found if not text.endswith(" yet")]
    if wrong:
        return "MISSED: " + "; ".join(found)
    return "; ".join(found) or "hold"


def _target(verdict: dict[str, Any]) -> str:
    if verdict["suspected_target"] is not None:
        return str(verdict["suspected_target"])
    several = verdict["suspected_classes"]
    return f"{len(several)} classes" if several else "-"


def _pure(split: dict[str, Any], share: str, part: str) -> str:
    return "nobody" if split[part] is None else f"{split[part]:.3f} of {100 * split[share]:.3g} %"


def _pair(seen: dict[str, Any] | None) -> str:
    return "-" if seen is None else f"{_percent(seen['acc'])} / {_percent(seen['asr'])}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
