"""AUROC while the probe learns, published against robust, from the rows of `sd_audits.py`.

One panel an attack; a thin line is one seed. Published mode scores after its last epoch, wherever
its line is then; robust mode at the moment it chose without truth (ring).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sd_audits import ATTACKS

from fctfast import io

EXAMPLE = """example:
  python bench/sd_picture.py --rows bench/results/sd-audits --data cifar10 --rate 0.1 \\
      --out bench/results/sd-audits/cifar10-auroc.png
"""
PUBLISHED, COLOURS = "#9aa5b1", {"rotate+affine": "#2a78b5", "flip+crop": "#e08e2b"}


def main(argv: Sequence[str] | None = None) -> int:
    """Draw the picture; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=Path, required=True, help="folder of JSON files")
    parser.add_argument("--data", default="cifar10", help="data set (cifar10)")
    parser.add_argument("--rate", type=float, default=0.1, help="poisoning rate (.1)")
    parser.add_argument("--target", type=int, default=3, help="3 are the judged cases, 0 tuning")
    parser.add_argument("--out", type=Path, required=True, help="PNG file")
    options = parser.parse_args(argv)
    figure = Figure(figsize=(11, 4.6), dpi=150, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(ATTACKS), sharey=True)
    for axes, attack in zip(panels, ATTACKS, strict=True):
        axes.set_title(attack, loc="left", fontsize=11)
        axes.set_xlabel("optimiser steps of the probe")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#e4e7eb")
        for row in _rows(options, attack):
            _draw(axes, row)
    panels[0].set_ylabel("AUROC of FCT")
    handles: dict[str, Any] = {}
    for axes in panels:
        handles |= {
            label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.out, metadata={"Software": "fctfast"})
    return 0


def _rows(options: argparse.Namespace, attack: str) -> Iterator[dict[str, Any]]:
    for path in sorted(options.rows.glob("*.json")):
        row = io.read_json(path)
        case = row["case"]
        wanted = {"data": options.data, "attack": attack, "rate": options.rate}
        modes = ("robust", "published")  # earlier forms of robust mode are no part of it
        if case.items() >= (wanted | {"target": options.target}).items() and case["mode"] in modes:
            yield row


def _draw(axes: Any, row: dict[str, Any]) -> None:
    if row["case"]["mode"] == "published":
        epochs = row["epochs"]
        axes.plot(
            [e["step"] for e in epochs], [e["auroc"] for e in epochs], "s-", markersize=3.5,
            linewidth=1, color=PUBLISHED, label="published (last epoch counts)",
        )  # fmt: skip
        return
    for transform, colour in COLOURS.items():
        mine = [m for m in row["moments"] if m["transform"] == transform]
        axes.plot(
            [m["step"] for m in mine], [m["auroc"] for m in mine], "o-", markersize=3.5,
            linewidth=1, color=colour, label=f"robust, {transform}",
        )  # fmt: skip
        chosen = [m for m in mine if row["chosen"] == {k: m[k] for k in ("step", "transform")}]
        axes.plot(
            [m["step"] for m in chosen], [m["auroc"] for m in chosen], "o", markersize=11,
            fillstyle="none", color="#1f2933", label="chosen without truth" if chosen else None,
        )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
