"""One pass of training, step by step."""

from __future__ import annotations

import math
import time
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from fctfast.models import as_feature_model, without_adapter
from fctfast.train.augment import augment
from fctfast.train.chunks import backward_in_chunks
from fctfast.train.graphs import Graphs, Outputs
from fctfast.train.precision import preferred_memory_format
from fctfast.train.progress import Task
from fctfast.train.resident import Resident
from fctfast.train.schedule import learning_rate
from fctfast.train.settings import FitSettings, SGDSettings
from fctfast.train.stage import Pass, shuffled_batches

CUDA_CHECK_EVERY = 50
"""Steps between looks at the loss on a GPU, where a look waits for the device."""


class Diverged(ValueError):
    """The loss became NaN or infinite."""


class TrainingLoop:
    """Model, optimiser and the pass over one stage's data.

    Args:
        model: feature model or anything with an adapter; moved to ``device`` in place.
        settings: with a resolved precision.
        mean: per channel.
        std: per channel.
        seed: key of order and augmentation.
        device: where to train.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        settings: FitSettings,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        seed: int,
        device: torch.device,
    ) -> None:
        self.model = as_feature_model(model)
        self.network = without_adapter(self.model)
        self.settings, self.mean, self.std = settings, mean, std
        self.seed, self.device = seed, device
        self.layout = preferred_memory_format(device, self.network)
        self.network.to(device=device, memory_format=self.layout)  # type: ignore[call-overload]
        self.optimiser = make_sgd(self.network, settings.sgd)
        self.images = Resident(device)
        self.outputs = Outputs(self.model, settings.precision, device)
        self.graphs = Graphs(self.outputs)

    def run(self, pass_: Pass, length: float, task: Task) -> dict[str, Any]:
        """Train one pass of a run of ``length`` passes and return its record."""
        began = time.monotonic()
        self.model.train()
        seen = 0
        loss_sum = torch.zeros((), dtype=torch.float64, device=self.device)
        right = torch.zeros(2, dtype=torch.int64, device=self.device)
        batches = shuffled_batches(pass_, self.settings.batch_size, self.seed)
        for number, positions in enumerate(batches):
            lr = learning_rate(
                self.settings.schedule,
                self.settings.sgd.lr,
                epoch=pass_.position,
                within=number / pass_.full,
                epochs=length,
            )
            loss, hits = self._step(pass_, positions, lr)
            seen += len(positions)
            loss_sum += loss.double() * len(positions)
            right += hits
            last = number + 1 == pass_.batches
            if self.device.type == "cpu" or last or number % CUDA_CHECK_EVERY == 0:
                if not math.isfinite(float(loss_sum)):
                    self._fail(f"the loss became {float(loss_sum)}", pass_, number, lr)
                accuracy = _share(right)
                shown = {} if accuracy is None else {"accuracy": accuracy}
                task.advance(1, loss=float(loss_sum) / seen, **shown)
            else:
                task.advance(1)
        self._check_weights(pass_, lr)
        return {
            "pass": pass_.index,
            "stage": pass_.stage.name,
            "steps": pass_.batches,
            "step": pass_.first_step + pass_.batches,
            "lr": lr,
            "loss": float(loss_sum) / seen,
            "accuracy": _share(right),
            "seconds": time.monotonic() - began,
        }

    def _step(self, pass_: Pass, positions: Tensor, lr: float) -> tuple[Tensor, Tensor]:
        """Take one optimiser step; return the batch's loss and (right answers, answers), int64 [2].

        A target that is no class has no right answer, and neither has one of several views, which
        are compared with each other.
        """
        stage = pass_.stage
        given = stage.data.labels if stage.targets is None else stage.targets
        targets = given[positions].to(self.device).repeat(stage.views)
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        self.optimiser.zero_grad(set_to_none=True)
        hits = torch.zeros(2, dtype=torch.int64, device=self.device)

        def loss_of(features: Tensor, logits: Tensor) -> Tensor:
            if stage.views == 1:
                counted = (targets >= 0) & (targets < logits.shape[1])
                hits[0] = ((logits.detach().argmax(1) == targets) & counted).sum()
                hits[1] = counted.sum()
            return stage.loss(features, logits, targets)

        if stage.chunk is None or len(positions) <= stage.chunk:
            loss = loss_of(*self._forward(pass_, positions))
            torch.autograd.backward(loss)
        else:
            loss = backward_in_chunks(
                self.network,
                lambda rows: self._forward(pass_, rows),
                positions,
                loss_of,
                chunk=stage.chunk,
                views=stage.views,
            )
        if self.settings.sgd.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.sgd.clip_norm)
        self.optimiser.step()
        return loss.detach(), hits

    def _forward(self, pass_: Pass, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Features and logits of some images, float32 whatever the network runs in."""
        stage = pass_.stage
        images = augment(
            self.images(stage.data, positions),
            stage.data.ids[positions],
            stage.augment,
            mean=self.mean,
            std=self.std,
            seed=self.seed,
            purpose=stage.name,
            epoch=pass_.index,
            memory_format=self.layout,
        )
        # The parts of a batch are held at once, and a graph has one place for its outputs.
        network = self.outputs if stage.chunk is not None else self.graphs
        features, logits = network(images)
        if stage.views == 1 and stage.data.num_classes > logits.shape[1]:
            raise ValueError(
                f"stage {stage.name}: the images have {stage.data.num_classes} classes, but the "
                f"network gives {logits.shape[1]} logits; build it with num_classes="
                f"{stage.data.num_classes}"
            )
        return features, logits

    def _check_weights(self, pass_: Pass, lr: float) -> None:
        # The last step's gradient shows in no loss; it would be written to the checkpoint.
        finite = [p.detach().isfinite().all() for p in self.network.parameters()]
        if finite and not bool(torch.stack(finite).all()):
            self._fail("the weights became NaN or infinite", pass_, pass_.batches - 1, lr)

    def _fail(self, what: str, pass_: Pass, number: int, lr: float) -> NoReturn:
        raise Diverged(
            f"{what} in stage {pass_.stage.name!r}, pass {pass_.index}, step {number} of "
            f"{pass_.batches} (learning rate {lr:g}); lower the learning rate or set clip_norm. "
            "The checkpoint of the pass before, if there is one, is intact"
        )


def _share(right: Tensor) -> float | None:
    hits, answers = right.tolist()
    return hits / answers if answers else None


def make_sgd(model: nn.Module, settings: SGDSettings) -> torch.optim.SGD:
    """Make the optimiser over all parameters of ``model``."""
    return torch.optim.SGD(
        model.parameters(),
        lr=settings.lr,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        nesterov=settings.nesterov,
        fused=True,
    )
