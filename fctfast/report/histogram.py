"""A picture of the scores: how FCT is distributed and where the split cuts it."""

from __future__ import annotations

import io as memory
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from fctfast import io
from fctfast.attacks.truth import Truth
from fctfast.detect import Scores, Split

Array: TypeAlias = npt.NDArray[np.float64]

INK, QUIET = "#1f2933", "#9aa5b1"
CLEAN, UNCERTAIN, POISONED = "#2a78b5", "#c3cad2", "#d1495b"
LABELS = ("kept as clean, $D_c$", "undecided", "suspicious, $D_p$")


def save_histogram(
    path: str | Path,
    scores: Scores,
    split: Split,
    *,
    truth: Truth | None = None,
    title: str = "FCT scores",
) -> None:
    """Draw the scores, coloured by the part they fell into, with both thresholds.

    Args:
        path: PNG file to write.
        scores: of every sample.
        split: of the same scores.
        truth: which samples are poisoned, drawn as an outline; default None, not known.
        title: heading; the number of samples is added.

    Raises:
        ValueError: there are no scores.

    Source: FCT paper, figure 3.
    """
    if len(scores) == 0:
        raise ValueError("histogram: expected at least one score, got none")
    # The object-oriented interface: pyplot would choose a backend for the whole process.
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    values = scores.fct.double().numpy()
    edges, by_ratio = _bins(values)
    shown = values.clip(edges[0], edges[-1])
    figure = Figure(figsize=(9, 4.8), dpi=150, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    parts = [torch.isin(scores.ids, ids).numpy() for ids in (split.clean, split.uncertain)]
    parts.append(~parts[0] & ~parts[1])
    axes.hist(
        [shown[part] for part in parts],
        bins=edges.tolist(),
        stacked=True,
        color=[CLEAN, UNCERTAIN, POISONED],
        label=[f"{text}: {int(p.sum()):,}" for text, p in zip(LABELS, parts, strict=True)],
    )
    if truth is not None:
        known = truth.poisoned_among(scores.ids).numpy()
        axes.hist(
            shown[known],
            bins=edges.tolist(),
            histtype="step",
            linewidth=1.4,
            color=INK,
            label=f"truly poisoned: {int(known.sum()):,}",
        )
    axes.set_xlim(edges[0], edges[-1])
    if by_ratio:
        _ratio_axis(axes, float(np.log10(edges[-1] / edges[0])))
    _threshold(axes, "c", split.gamma_c, CLEAN)
    _threshold(axes, "p", split.gamma_p, POISONED)
    _dress(figure, axes, f"{title}, {len(values):,} samples")
    buffer = memory.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "fctfast"})
    io.write_bytes(path, buffer.getvalue())


def _bins(fct: Array) -> tuple[Array, bool]:
    """Bin edges, and whether they are spaced by ratio (FCT often spans several decades)."""
    count = int(np.clip(2 * len(fct) ** 0.5, 10, 90))
    low, high = float(fct.min()), float(fct.max())
    positive = fct[fct > 0]
    if len(positive) and high > 20 * float(np.quantile(positive, 0.02)):
        # A few scores next to zero would stretch the picture: the first bin takes them in.
        floor = max(float(np.quantile(positive, 0.001)), high * 1e-6)
        return np.geomspace(floor, high * 1.0001, count + 1), True
    if high <= low:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, count + 1), False


def _ratio_axis(axes: Any, decades: float) -> None:
    """Ticks at 1, 2, 5, 10, ... as plain numbers; only at powers of ten over many decades."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter  # noqa: PLC0415

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(
        LogLocator(subs=(1.0, 2.0, 5.0) if decades < 3 else (1.0,), numticks=15)
    )
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _threshold(axes: Any, name: str, value: float | None, colour: str) -> None:
    """A dashed line with its value above the frame; nothing where the part is empty."""
    if value is None:
        return
    low, high = axes.get_xlim()
    shown = min(max(value, low), high)  # a label outside the frame would squeeze the picture
    axes.axvline(shown, color=colour, linewidth=1.4, linestyle=(0, (4, 3)))
    axes.annotate(
        rf"$\gamma_{name}$ = {value:.4g}",
        xy=(shown, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(-3 if name == "c" else 3, 4),
        textcoords="offset points",
        # Away from the other threshold, unless that leads out of the frame.
        ha="right" if name == "c" and shown > low else "left",
        va="bottom",
        color=colour,
        fontsize=10,
    )


def _dress(figure: Any, axes: Any, title: str) -> None:
    """Heading, axes and legend: quiet, so that the distribution is what one sees."""
    axes.set_title(title, loc="left", pad=24, fontsize=12, color=INK)
    axes.set_xlabel("FCT (squared distance of features; higher is more suspicious)", color=INK)
    axes.set_ylabel("samples", color=INK)
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(QUIET)
    axes.tick_params(colors=INK, which="both")
    axes.grid(axis="y", color="#e4e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    # Below the frame: inside it, the legend lands on the bars of one data set or another.
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9.5, labelcolor=INK)
