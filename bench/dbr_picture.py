"""The paper's Fig. 5 from the rows of `dbr_study.py`: ACC and ASR after each pass of D-BR.

One panel a variant: shares "auto", shares of the paper, the paper's rounds, unlearning
alone, relearning alone; a thin line is one case.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dbr_study import VARIANTS
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fctfast import io

EXAMPLE = """example:
  python bench/dbr_picture.py --rows bench/results/dbr --out bench/results/dbr/curves.png
"""
COLOURS = {"acc": "#2a78b5", "asr": "#d1495b"}
TITLES = {
    "paper": "D-BR, shares of the paper",
    "auto": 'D-BR, shares "auto"',
    "rounds": "the paper's rounds",
    "unlearn": "unlearning alone",
    "relearn": "relearning alone",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Draw the picture; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=Path, required=True, help="folder of JSON files")
    parser.add_argument("--out", type=Path, required=True, help="PNG file")
    options = parser.parse_args(argv)
    rows = [io.read_json(path) for path in sorted(options.rows.glob("*.json"))]
    rows = [row for row in rows if row.get("curves")]
    if not rows:
        parser.error(f"{options.rows} holds no curves; make them with dbr_study.py run")
    shown = [name for name in VARIANTS if any(name in row["curves"] for row in rows)]
    figure = Figure(figsize=(4 * len(shown), 4.2), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, shown, strict=True):
        _panel(axes, name, [row for row in rows if name in row["curves"]])
    handles, labels = panels[0].get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    figure.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=2)
    panels[0].set_ylabel("share of test images, %")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.out, metadata={"Software": "fctfast"})
    return 0


def _panel(axes: Any, name: str, rows: Sequence[dict[str, Any]]) -> None:
    for row in rows:
        curve = row["curves"][name]
        for key, label in (("acc", "clean accuracy (ACC)"), ("asr", "attack success (ASR)")):
            values = [100 * point[key] for point in curve]
            axes.plot(
                range(len(curve)), values, "o-", markersize=3, color=COLOURS[key], label=label
            )
    axes.set_title(TITLES.get(name, name), loc="left", fontsize=11)
    axes.set_xlabel("passes")
    axes.set_ylim(-2, 102)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e4e7eb")


if __name__ == "__main__":
    sys.exit(main())
