"""A picture of what FCT measures: where samples lie in feature space, before and after tau."""

from __future__ import annotations

import io as memory
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fctfast import io
from fctfast.data import ImageSet
from fctfast.detect.transforms import parse
from fctfast.report.histogram import INK
from fctfast.seeding import derive_seed, permutation
from fctfast.train.inference import device_of, evaluating

BATCH = 128
NAMED_CLASSES = 10
"""With more classes than a palette has colours, the clean ones share a grey."""


def save_feature_map(
    path: str | Path,
    model: nn.Module,
    data: ImageSet,
    marked: Tensor,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    transform: str = "rotate+affine",
    samples: int = 800,
    seed: int = 0,
    marked_as: str = "suspicious, $D_p$",
    title: str = "Feature space",
) -> None:
    """Draw features of some samples and of their transformed selves in one t-SNE embedding.

    Poisoned samples lie together before tau and scatter over the classes after it; clean ones stay
    about where they were.

    Args:
        path: PNG file to write.
        model: has `features`; put in eval mode for the pass and back afterwards.
        data: the images.
        marked: bool [N], drawn in black: D_p, or the truly poisoned.
        mean: per channel, in [0, 1] units.
        std: per channel.
        transform: tau by name.
        samples: how many are drawn at most, a quarter of them marked ones if there are as many.
        seed: keys the choice of samples, tau and the embedding.
        marked_as: what the legend calls the marked samples.
        title: heading.

    Raises:
        ValueError: fewer than 10 samples, or a mask of another length.

    Source: FCT paper, figure 1; van der Maaten and Hinton, JMLR 2008 (t-SNE, scikit-learn's).
    """
    if marked.shape != data.labels.shape or len(data) < 10:
        raise ValueError(
            f"feature map: expected at least 10 samples and a mask of their number, got "
            f"{len(data)} and {list(marked.shape)}"
        )
    kept = _choose(marked, samples, seed)
    chosen, black = data.select(kept), marked[kept].numpy()
    before, after = _features(model, chosen, mean=mean, std=std, transform=transform, seed=seed)
    places = _embed(torch.cat([before, after]), seed)
    _draw(Path(path), places, chosen, black, transform, marked_as, title)


def _choose(marked: Tensor, samples: int, seed: int) -> Tensor:
    order = permutation(marked.numel(), seed, "feature map")
    black = order[marked[order]][: samples // 4]
    others = order[~marked[order]][: samples - len(black)]
    return torch.cat([black, others]).sort().values


@torch.inference_mode()
def _features(
    model: Any,
    data: ImageSet,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    transform: str,
    seed: int,
) -> tuple[Tensor, Tensor]:
    tau = parse(transform).draw(data.ids, seed=seed, draws=1, size=data.image_size)
    before, after = [], []
    device = device_of(model)
    with evaluating(model):
        for start in range(0, len(data), BATCH):
            rows = slice(start, min(start + BATCH, len(data)))
            images = data.images[rows].to(device)
            seen = model.features(tau.views(images, rows, mean, std)).float().cpu()
            first, second = seen.chunk(2)
            before.append(first)
            after.append(second)
    return torch.cat(before), torch.cat(after)


def _embed(features: Tensor, seed: int) -> np.ndarray:
    from sklearn.manifold import TSNE  # noqa: PLC0415  (half a second, for one picture)

    made: np.ndarray = TSNE(
        perplexity=min(30.0, (len(features) - 1) / 4),
        init="pca",
        random_state=derive_seed(seed, "t-SNE") % 2**32,
    ).fit_transform(features.numpy())
    return made


def _draw(
    path: Path,
    places: np.ndarray,
    data: ImageSet,
    black: np.ndarray,
    transform: str,
    marked_as: str,
    title: str,
) -> None:
    # Half a second, for one picture; pyplot would choose a backend for the whole process.
    from matplotlib import colormaps  # noqa: PLC0415
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(11, 5.6), dpi=150, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, color=INK)
    labels, colours = data.labels.numpy(), colormaps["tab10"].colors  # type: ignore[attr-defined]
    named = data.num_classes <= NAMED_CLASSES
    halves = np.split(places, 2)
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    for axis, half, name in zip(axes, halves, ("as they are", f"after {transform}"), strict=True):
        for number in range(data.num_classes) if named else (-1,):
            inside = ~black & ((labels == number) | (not named))
            axis.scatter(
                *half[inside].T,
                s=9,
                color=colours[number] if named else "#9aa5b1",
                label=f"labelled {data.class_names[number]}" if named else "all classes",
                linewidths=0,
            )
        axis.scatter(*half[black].T, s=12, marker="x", color="black", label=marked_as)
        axis.set_title(name, fontsize=11, color=INK)
        axis.set_xticks([])
        axis.set_yticks([])
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=6, frameon=False,
        fontsize=9, labelcolor=INK,
    )  # fmt: skip
    buffer = memory.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "fctfast"})
    io.write_bytes(path, buffer.getvalue())
