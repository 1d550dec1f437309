"""Training of the encoder and decoder of ssba on the user's images; made once and kept."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from fctfast import io, seeding
from fctfast.attacks.clean_model import cache_folder
from fctfast.attacks.stegastamp import (
    LARGEST,
    Stamp,
    StampInfo,
    StegaStamp,
    load_stamp,
    measure,
    resized,
    unit_range,
)
from fctfast.data import ImageSet
from fctfast.models.initialise import initialise
from fctfast.train import Diverged, Progress, resolve_device
from fctfast.train.precision import repeatable_kernels
from fctfast.train.progress import Quiet

FORMAT = 2
READABLE = 0.95
"""Share of the bits from which a secret counts as read."""

MOST_HELD_BACK = 500
"""Images that are not trained on: a tenth, at most this many, and none of fewer than ten."""

KEPT_EVERY = 50
"""Steps after which the state of a training is written: an interrupted one goes on from there."""
MOST_SHRUNK = 4
"""Images are scaled down to this times the working size before a step: larger ones only cost."""


@dataclass(frozen=True)
class StampTraining:
    """How the networks are trained, all together and from the first step to the last.

    Args:
        steps: of Adam; default 500.
        batch_size: images a step, even: every secret is hidden in two images; default 32.
        lr: after 50 steps of warm-up, falling to 0 along a cosine; default .002.
        start_psnr: the change begins at this PSNR, where bits are found at once, and shrinks to the
            wanted one; default 14.
        shrunk: share of the steps when it has; default .4.
        common: cosine that the changes which hide one secret in two images may have; default .5.
            With 1 all images get nearly the same change, which is a blend and not sample-specific;
            with 0 they have little in common that a classifier could learn.
        specific: weight of the squared excess; default 2.
        smooth: weight of changes where the image is smooth and they would be seen; default .1.
    """

    steps: int = 500
    batch_size: int = 32
    lr: float = 2e-3
    start_psnr: float = 14.0
    shrunk: float = 0.4
    common: float = 0.5
    specific: float = 2.0
    smooth: float = 0.1


def trained_stamp(
    data: ImageSet,
    *,
    bits: int,
    psnr: float,
    seed: int = 0,
    settings: StampTraining | None = None,
    progress: Progress | None = None,
) -> Stamp:
    """Train encoder and decoder on images, or read those that were trained on them before.

    Args:
        data: clean images; their labels are not used.
        bits: length of the secrets.
        psnr: in decibels, see :class:`~fctfast.attacks.stegastamp.StegaStamp`.
        seed: key of initial weights, batches and secrets, the attack's own secret included.
        settings: default :class:`StampTraining`.
        progress: where to report.

    Returns:
        The networks on the CPU, the secret, and what was measured on images that were held back
        (none of fewer than ten). That a secret cannot be read `progress` is told. The file lies in
        :func:`~fctfast.attacks.clean_model.cache_folder`, named by a hash of the images, the
        settings and the seed; beside it, while they train, the state after the last
        :data:`KEPT_EVERY` steps. An interrupted training goes on from there, to the same bits.

    Raises:
        Diverged: the loss became NaN or infinite (a ValueError).
        ValueError: the kept file is damaged.
    """
    settings = settings or StampTraining()
    info = StampInfo(bits, data.channels, data.image_size, psnr)
    asked = [FORMAT, data.fingerprint(), asdict(info), asdict(settings), seed]
    key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:24]
    file = cache_folder() / "stegastamps" / f"{key}.safetensors"
    state = file.with_suffix(".part.safetensors")
    try:
        if file.exists():
            return load_stamp(file)
        kept = io.read_tensors(state)[0] if state.exists() else {}
    except ValueError as error:
        raise ValueError(f"{error} (delete it, and it is made again)") from error
    shown = progress or Quiet()
    order = seeding.permutation(len(data), seed, "ssba-held-back")
    held = min(MOST_HELD_BACK, len(data) // 10)
    network = _train(data.images, order[held:], info, settings, seed, shown, state, kept)
    random = seeding.generator(seed, "ssba-secret")
    secret = torch.randint(0, 2, (bits,), generator=random).bool()
    seen = measure(
        Stamp(network, secret),
        data.images[order[: held or MOST_HELD_BACK]],
        seeding.generator(seed, "ssba-measure"),
    )
    if seen["bits_right"] < READABLE:
        shown.note(
            f"ssba: the decoder reads {seen['bits_right']:.1%} of the bits right (chance is 50 %), "
            f"fewer than {READABLE:.0%}: the images are small for {bits} bits, or hard to hide in; "
            "take fewer bits (--option bits=N) or a lower psnr"
        )
    made = Stamp(network, secret, seen if held else {})
    made.save(file)
    state.unlink(missing_ok=True)
    return made


def _train(
    images: Tensor, trained_on: Tensor, info: StampInfo, settings: StampTraining, seed: int,
    progress: Progress, state: Path, kept: dict[str, Tensor],
) -> StegaStamp:  # fmt: skip
    device = resolve_device("auto")
    network = StegaStamp(info)
    initialise(network, seeding.derive_seed(seed, "ssba-network"))
    network.to(device)
    optimiser = torch.optim.Adam(network.parameters(), lr=settings.lr)
    scale = min(1.0, MOST_SHRUNK * LARGEST / max(info.image_size))
    size = (round(info.image_size[0] * scale), round(info.image_size[1] * scale))
    start = _go_on(network, optimiser, kept)
    label = f"encoder of {info.bits} bits"
    with (
        repeatable_kernels(device),
        progress.task(label, settings.steps, done=start) as task,
    ):
        for step in range(start, settings.steps):
            random = seeding.generator(seed, "ssba-step", step)
            drawn = torch.randint(len(trained_on), (settings.batch_size,), generator=random)
            rows = trained_on[drawn]
            half = torch.randint(0, 2, (settings.batch_size // 2, info.bits), generator=random)
            batch = resized(unit_range(images[rows].to(device)), size)
            secrets = half.repeat(2, 1).float().to(device)
            done = step / settings.steps
            for group in optimiser.param_groups:
                falling = 0.5 + 0.5 * math.cos(math.pi * done)
                group["lr"] = settings.lr * min(1, (step + 1) / 50) * falling
            loss, right = _loss(network, batch, secrets, settings, done, random)
            if not math.isfinite(float(loss.detach())):
                raise Diverged(f"ssba: the loss became {float(loss.detach())} in step {step}")
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimiser.step()
            if (step + 1) % KEPT_EVERY == 0:
                io.write_tensors(state, _state(network, optimiser, step + 1))
            task.advance(1, loss=float(loss.detach()), bits_right=float(right))
    return network.cpu().eval()


def _state(network: StegaStamp, optimiser: torch.optim.Adam, steps: int) -> dict[str, Tensor]:
    """Weights and both moments of Adam after ``steps``."""
    named = {f"weight/{name}": tensor for name, tensor in network.state_dict().items()}
    for name, parameter in network.named_parameters():
        for key, moment in optimiser.state[parameter].items():
            named[f"adam/{name}/{key}"] = moment
    return {**named, "steps": torch.tensor(steps)}


def _go_on(network: StegaStamp, optimiser: torch.optim.Adam, kept: dict[str, Tensor]) -> int:
    """Bring both to where ``kept`` stood; returns how many steps that was."""
    if not kept:
        return 0
    weights = {n.removeprefix("weight/"): t for n, t in kept.items() if n.startswith("weight/")}
    network.load_state_dict(weights)
    for name, parameter in network.named_parameters():
        state = optimiser.state[parameter]
        for key in ("exp_avg", "exp_avg_sq"):
            state[key] = torch.empty_like(parameter).copy_(kept[f"adam/{name}/{key}"])
        state["step"] = kept[f"adam/{name}/step"]  # on the CPU, wherever the weights are
    return int(kept["steps"])


def _loss(
    network: StegaStamp, images: Tensor, secrets: Tensor, settings: StampTraining, done: float,
    random: torch.Generator,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The loss of a batch whose halves hide the same secrets, and the share of bits read right."""
    psnr = settings.start_psnr
    psnr += (network.info.psnr - psnr) * min(1.0, done / settings.shrunk)
    change = network.residual(images, secrets)
    stamped = network.stamped(images, change, psnr)
    # A byte's rounding, as noise: its own gradient is zero everywhere.
    noise = torch.rand(stamped.shape, generator=random).sub_(0.5).to(stamped.device)
    found = network.logits(stamped + noise / 255)
    first, second = F.normalize(change.flatten(1), dim=1).chunk(2)
    alike = F.relu((first * second).sum(1) - settings.common).square().mean()
    seen = (change.square() * smoothness(resized(images, network.working))).mean()
    # Bits first: a change that nobody can read yet learns only to hide.
    ramp = min(1.0, max(0.0, (done - 0.1) / 0.3))
    loss = F.binary_cross_entropy_with_logits(found, secrets)
    loss = loss + ramp * (settings.specific * alike + settings.smooth * seen)
    return loss, ((found > 0) == (secrets > 0.5)).float().mean()


def smoothness(images: Tensor) -> Tensor:
    """How much a change would be seen at each pixel, mean 1 an image: [B, 1, H, W].

    One over the deviation among the 5x5 neighbours, in grey, and .02 (five of 255).
    """
    grey = images.mean(1, keepdim=True)
    mean, square = (
        F.avg_pool2d(x, 5, stride=1, padding=2, count_include_pad=False)
        for x in (grey, grey.square())
    )
    weight = 1 / ((square - mean.square()).clamp_min(0).sqrt() + 0.02)
    return weight / weight.mean((1, 2, 3), keepdim=True)
