"""A picture of the probe's moments: how far apart the two groups of scores were at each."""

from __future__ import annotations

import io as memory
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fctfast import io
from fctfast.detect import VerdictThresholds
from fctfast.report.histogram import CLEAN, INK, POISONED, QUIET

COLOURS = (CLEAN, "#e08e2b", "#4b9560", "#7d5ba6")


def save_moments(
    path: str | Path,
    snapshots: Sequence[Mapping[str, Any]],
    chosen: tuple[int, str],
    *,
    thresholds: VerdictThresholds | None = None,
    title: str = "Moments of the probe",
) -> None:
    """Draw the separation of the clearest class at each moment, one line a tau.

    Args:
        path: PNG file to write.
        snapshots: as in :attr:`Detection.snapshots`: "step", "transform", "separation" and
            "reasons" (why the probe counts as collapsed).
        chosen: (step, tau) that scored the whole set, marked with a ring.
        thresholds: drawn as lines; default :class:`VerdictThresholds`.
        title: heading.

    Raises:
        ValueError: there are no snapshots.
    """
    if not snapshots:
        raise ValueError("moments: expected at least one snapshot, got none")
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    limits = thresholds or VerdictThresholds()
    figure = Figure(figsize=(9, 4.8), dpi=150, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for number, name in enumerate(dict.fromkeys(s["transform"] for s in snapshots)):
        mine = [s for s in snapshots if s["transform"] == name]
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(
            [s["step"] for s in mine],
            [s["separation"] for s in mine],
            marker="o",
            markersize=5,
            color=colour,
            label=name,
        )
        fallen = [s for s in mine if s["reasons"]]
        if fallen:
            axes.plot(
                [s["step"] for s in fallen],
                [s["separation"] for s in fallen],
                "x",
                markersize=11,
                color=INK,
                label=f"collapsed under {name}",
            )
    for value, colour, text in (
        (limits.separation_yes, POISONED, "evidence"),
        (limits.separation_no, QUIET, "none below"),
    ):
        axes.axhline(value, color=colour, linewidth=1.2, linestyle=(0, (4, 3)))
        axes.annotate(
            f"{text} {value:.2f}",
            xy=(0.0, value),
            xycoords=("axes fraction", "data"),
            xytext=(4, 3 if colour == POISONED else -3),
            textcoords="offset points",
            ha="left",
            va="bottom" if colour == POISONED else "top",
            color=colour,
            fontsize=9.5,
        )
    for taken in snapshots:
        if (taken["step"], taken["transform"]) == chosen:
            axes.plot(
                taken["step"],
                taken["separation"],
                "o",
                markersize=13,
                fillstyle="none",
                color=INK,
                label="scored the whole set",
            )
    axes.set_ylim(bottom=0)
    axes.set_title(title, loc="left", pad=12, fontsize=12, color=INK)
    axes.set_xlabel("optimiser steps of the probe", color=INK)
    axes.set_ylabel("separation of the clearest class", color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(QUIET)
    axes.tick_params(colors=INK)
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9.5, labelcolor=INK)
    buffer = memory.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "fctfast"})
    io.write_bytes(path, buffer.getvalue())
