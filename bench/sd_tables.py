"""The rows of `sd_audits.py` as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sd_moments import CLEAN, Case

ALPHAS_P = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2)
ALPHAS_C = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)
JUDGED_TARGET = 3
DATA = {"cifar10": "CIFAR-10", "fashion-mnist": "Fashion-MNIST"}
ATTACKS = {
    "badnets-all2one": "BadNets", "blend-signal": "Blend", "badnets-all2all": "all-to-all"
}  # fmt: skip


def lay_out(rows: Sequence[dict[str, Any]], plans: Mapping[str, Sequence[Case]]) -> Iterator[str]:
    """One table a plan, and the statistic where nothing is poisoned.

    Args:
        rows: results of `sd_audits.py`.
        plans: cases by name of their plan.
    """
    for plan, cases in plans.items():
        chosen = [row for row in rows if Case(**row["case"]) in cases]
        if not chosen:
            continue
        yield f"## {plan}\n"
        yield (
            "| case | verdict (target) | separation | largest of a clean class | AUROC | "
            "D_p poisoned | D_c clean | "
            "true rate: estimate | "
            "auto alpha_p: poisoned, of all | auto alpha_c: clean | step, tau | processor s |"
        )
        yield "|---" * 12 + "|"
        for row in chosen:
            yield "| " + " | ".join(_cells(row)) + " |"
        times = [row["cpu_seconds"] for row in chosen if row["cpu_seconds"] and not row["resumed"]]
        if times:
            yield f"\nMedian processor time {statistics.median(times):.0f} s.\n"
    for data in dict.fromkeys(row["case"]["data"] for row in rows):
        judged = [
            row
            for row in rows
            if row["case"]["data"] == data
            and not any(
                Case(**row["case"]) in cases for plan, cases in plans.items() if "tuning" in plan
            )
        ]
        yield from _null(data, judged)


def _null(data: str, rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The statistic where nothing is poisoned: clean sets, and the other classes of the rest."""
    seen = [v for row in rows if row["case"]["mode"] != "published" for v in _unpoisoned(row)]
    if seen:
        apart = sorted(value for value in seen if value > 0)
        yield (
            f"{data}: {len(seen)} classes without poison, final scores; separation 0 in "
            f"{len(seen) - len(apart)}; the five largest "
            + (", ".join(f"{value:.2f}" for value in apart[-5:]) or "-")
        )


def _label(case: Case) -> str:
    """A case in words."""
    words = [DATA.get(case.data, case.data)]
    if case.attack == CLEAN:
        words.append("unpoisoned")
    else:
        attack = ATTACKS.get(case.attack, case.attack)
        target = "" if case.target == JUDGED_TARGET else f", target {case.target}"
        words.append(f"{attack} {100 * case.rate:g} %{target}")
    words.append(f"seed {case.seed}")
    if case.limit is not None:
        words.append(f"{case.limit:,} images")
    if case.mode != "robust":
        words.append(case.mode)
    return ", ".join(words)


def _unpoisoned(row: dict[str, Any]) -> list[float]:
    """Separations of the classes that hold no poison."""
    case = Case(**row["case"])
    if row["poisoned"] and case.attack.endswith("all2all"):
        return []
    return [
        value
        for number, value in enumerate(row["verdict"]["class_separation"])
        if value is not None and not (row["poisoned"] and number == case.target)
    ]


def _cells(row: dict[str, Any]) -> Iterator[str]:
    verdict, split, rate = row["verdict"], row["split"], row["rate"]
    yield _label(Case(**row["case"]))
    yield f"{verdict['evidence']} ({_or_dash(verdict['suspected_target'], 'd')})"
    yield f"{verdict['separation']:.2f}"
    yield _or_dash(max(_unpoisoned(row), default=None), ".2f")
    yield _or_dash(row.get("auroc"), ".4f")
    poisoned = row["poisoned"] > 0
    yield _or_dash(split["d_p_poisoned"] if poisoned else None, ".3f")
    yield _or_dash(split["d_c_clean"] if poisoned else None, ".4f")
    true = row["poisoned"] / row["samples"]
    yield f"{true:.3f}: " + (
        f"{rate['rate']:.3f} [{rate['low']:.3f}, {rate['high']:.3f}]" if rate is not None else "-"
    )
    auto = row.get("auto", {})
    pure = auto.get("d_p_poisoned")
    of_all = auto["alpha_p"] * pure / true if pure is not None and poisoned else None
    purity = f"{_or_dash(pure, '.3f')}, {_or_dash(of_all, '.2f')}"
    yield f"{_or_dash(auto.get('alpha_p'), '.3f')}: {purity}"
    yield f"{_or_dash(auto.get('alpha_c'), '.2f')}: {_or_dash(auto.get('d_c_clean'), '.4f')}"
    yield f"{row['chosen']['step']}, {row['chosen']['transform']}"
    yield _or_dash(row["cpu_seconds"], ".0f") + (" (resumed)" if row["resumed"] else "")


def lay_out_alphas(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Appendix F: how pure other shares would be. D_p at alpha_c .1, D_c at alpha_p .05."""
    for key, alphas, title in (
        ("alphas_p", ALPHAS_P, "D_p poisoned, by alpha_p"),
        ("alphas_c", ALPHAS_C, "D_c clean, by alpha_c"),
    ):
        yield f"| {title} | " + " | ".join(f"{alpha:g}" for alpha in alphas) + " |"
        yield "|---" * (1 + len(alphas)) + "|"
        for row in rows:
            if row["poisoned"]:
                cells = " | ".join(_or_dash(row[key].get(str(a)), ".4f") for a in alphas)
                yield f"| {Case(**row['case']).name} | {cells} |"
        yield ""


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
