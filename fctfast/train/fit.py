"""The one training loop: base, probe, unlearning and relearning all run through it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, is_dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fctfast.io import sha256_tensor
from fctfast.train.checkpoint import TrainState, load_state, save_state, weights_fingerprint
from fctfast.train.loop import TrainingLoop
from fctfast.train.precision import (
    bfloat16_gradients_are_garbage,
    repeatable_kernels,
    resolve_device,
    resolve_precision,
)
from fctfast.train.progress import Progress, Quiet
from fctfast.train.settings import FitSettings
from fctfast.train.stage import Loss, Stage, unfold


@dataclass(frozen=True, eq=False)
class PassEnd:
    """What ``on_epoch`` is told after each pass.

    Args:
        record: the pass's history record (pass, stage, steps, step, lr, loss, accuracy, seconds);
            entries added to it are kept in the history.
        model: the network, in training mode. Change neither its weights nor its buffers.
        history: the records so far, this one last.
    """

    record: dict[str, Any]
    model: nn.Module
    history: list[dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Fitted:
    """How a run ended.

    Args:
        history: one record a pass.
        stopped: ``on_epoch`` ended it before its budget.
        resumed_at: passes that were done before this call.
    """

    history: tuple[dict[str, Any], ...]
    stopped: bool
    resumed_at: int


def fit(
    model: nn.Module,
    stages: Stage | Sequence[Stage],
    *,
    settings: FitSettings,
    mean: Sequence[float],
    std: Sequence[float],
    seed: int = 0,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 1,
    on_epoch: Callable[[PassEnd], bool | None] | None = None,
    progress: Progress | None = None,
    label: str = "train",
    device: str | torch.device = "auto",
) -> Fitted:
    """Train ``model`` in place on stages of (data, loss, budget) with one SGD.

    The same arguments give the same bits on the same machine, thread count and versions, whether
    or not the run was interrupted: order and augmentation are keyed by (seed, stage, pass, id) and
    a checkpoint holds weights, buffers and momentum.

    Args:
        model: feature model, or any module :func:`~fctfast.models.as_feature_model` accepts. It
            ends on ``device``, in eval mode.
        stages: what to train on, in order.
        settings: batch size, optimiser, schedule, precision. The schedule sees all stages as one
            run.
        mean: per channel, in [0, 1] units.
        std: per channel, same units.
        seed: key of order and augmentation, default 0.
        checkpoint: file for the state after each pass; if it exists the run goes on from it.
            Default: none.
        checkpoint_every: passes between checkpoints, default 1; the last pass always has one.
        on_epoch: called after each pass, before its checkpoint; True ends the run. It must decide
            from its argument alone, so that a resumed run decides the same.
        progress: where to report, default nowhere.
        label: name of the run in the progress, default ``"train"``.
        device: ``"auto"`` (GPU if there is one) or a torch device.

    Returns:
        History and how the run ended.

    Raises:
        Diverged: the loss became NaN or infinite (a ValueError).
        ValueError: ``checkpoint`` belongs to a run with other settings, no features, or bfloat16
            asked for where the CPU's gradients are wrong.

    Example:
        >>> stage = Stage("base", images, cross_entropy, Budget(epochs=15))
        >>> fit(model, stage, settings=FitSettings(), mean=(.5,) * 3, std=(.25,) * 3)
    """
    stages = [stages] if isinstance(stages, Stage) else list(stages)
    progress = Quiet() if progress is None else progress
    where = resolve_device(device)
    precision = resolve_precision(settings.precision, where)
    if precision == "bfloat16" and where.type == "cpu" and stages:
        data = stages[0].data
        if bfloat16_gradients_are_garbage(model.cpu(), (data.channels, *data.image_size)):
            if settings.precision != "auto":
                raise ValueError(
                    f"precision: bfloat16 gives wrong gradients for this network on images of "
                    f"{data.image_size[0]}x{data.image_size[1]}, whose last maps are 1x1; use "
                    "float32, larger images or a network for small ones"
                )
            precision = "float32"
    settings = replace(settings, precision=precision)
    loop = TrainingLoop(
        model,
        settings=settings,
        mean=tuple(mean),
        std=tuple(std),
        seed=seed,
        device=where,
    )
    passes = unfold(stages, settings.batch_size)
    path = None if checkpoint is None else Path(checkpoint)
    identity = _identity(stages, loop) if path is not None else {}
    state = load_state(path, loop.network, loop.optimiser, identity) if path else None
    state = TrainState(0, []) if state is None else state
    resumed_at = state.passes
    total = sum(p.batches for p in passes)
    length = sum(p.batches / p.full for p in passes)
    done = passes[resumed_at].first_step if resumed_at < len(passes) else total
    left = [] if state.stopped or state.finished else passes[resumed_at:]
    if left:
        with repeatable_kernels(where), progress.task(label, total, done=done) as task:
            for pass_ in left:
                record = loop.run(pass_, length, task)
                state.history.append(record)
                state.passes += 1
                if on_epoch is not None:
                    state.stopped = bool(on_epoch(PassEnd(record, loop.model, list(state.history))))
                state.finished = state.stopped or state.passes == len(passes)
                if path and (state.finished or state.passes % checkpoint_every == 0):
                    save_state(path, state, loop.network, loop.optimiser, identity)
                if state.stopped:
                    break
    model.eval()
    return Fitted(tuple(state.history), state.stopped, resumed_at)


def _name(loss: Loss) -> str:
    # A loss with numbers of its own is a frozen dataclass, whose text names them.
    if is_dataclass(loss):
        return repr(loss)
    return getattr(loss, "__name__", type(loss).__name__)


def _identity(stages: Sequence[Stage], loop: TrainingLoop) -> dict[str, Any]:
    prints: dict[int, str] = {}
    described = []
    for stage in stages:
        key = id(stage.data)
        if key not in prints:
            prints[key] = stage.data.fingerprint()
        one: dict[str, Any] = {
            "name": stage.name,
            "data": prints[key],
            "loss": _name(stage.loss),
            "budget": asdict(stage.budget),
            "augment": asdict(stage.augment),
        }
        if stage.targets is not None:
            one["targets"] = sha256_tensor(stage.targets)
        if stage.chunk is not None:
            one["chunk"] = stage.chunk
        described.append(one)
    identity = {
        "settings": asdict(loop.settings),
        "seed": loop.seed,
        "mean": loop.mean,
        "std": loop.std,
        "stages": described,
        "initial_weights": weights_fingerprint(loop.network),
    }
    result: dict[str, Any] = json.loads(json.dumps(identity))
    return result
