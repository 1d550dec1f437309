"""A case of `bench/gpu.py` with its data on the device: our calls, the peers', the exact answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import gpu_contrastive_peers as contrastive
import gpu_peers as peers
import gpu_supcon
import torch
from gpu_cases import LAST, Case
from gpu_dali import dali_views
from gpu_peers import MEAN, STD, Maker, Peer, Unavailable
from torch import Tensor

from fctfast import ops
from fctfast.ops import reference

COMPARED_SAMPLES = 16  # float64 on the CPU; spread from the first sample to the last


@dataclass
class Problem:
    """What is measured in one line of the table.

    Attributes:
        kernel: the registered op with integer coefficients already on the device.
        public: the function of `fctfast.ops` as users call it (backward: through autograd).
        peers: makers by name; a maker compiles and prepares, its call is measured. One that is
            not among them has no such op.
        exact: float64 [blocks, samples, ...] for `samples`, from `fctfast.ops.reference` (of
            contrastive_views float32: torchvision's functions are its definition).
        samples: which of the B samples are compared.
    """

    kernel: Callable[[], Tensor]
    public: Callable[[], Tensor]
    peers: dict[str, Maker]
    exact: Tensor
    samples: Tensor


@dataclass(frozen=True)
class Error:
    """How far a result is from the float64 reference.

    Attributes:
        largest: the largest absolute difference.
        relative: that, over the largest absolute value of the reference.
        share: of elements farther off than rounding explains (1e-3, tf32: 5e-3, 16 bits: 2e-2, of
            the largest).
    """

    largest: float
    relative: float
    share: float


def compare(case: Case, problem: Problem, made: Tensor) -> Error:
    """Compare the chosen samples of a result with the reference.

    Raises:
        ValueError: the result has another shape or is not finite.
    """
    rows = made if made.dim() > 2 or case.backward or case.both else made.flatten()
    expected = problem.exact.shape[0] * case.batch
    if rows.dim() == 0 or rows.shape[0] != expected:
        raise ValueError(f"expected {expected} rows, got {list(made.shape)}")
    got = rows.unflatten(0, (-1, case.batch))[:, problem.samples.to(made.device)].double().cpu()
    if got.shape != problem.exact.shape:
        raise ValueError(f"expected {list(problem.exact.shape)}, got {list(got.shape)}")
    if not bool(got.isfinite().all()):
        raise ValueError("the result is not finite")
    far = (got - problem.exact).abs()
    scale = max(float(problem.exact.abs().max()), 1e-30)
    allowed = scale * (2e-2 if case.dtype != torch.float32 else 5e-3 if case.tf32 else 1e-3)
    return Error(float(far.max()), float(far.max()) / scale, float((far > allowed).double().mean()))


def build(case: Case, device: torch.device, *, compiling: bool = True) -> Problem:
    """Make a case's data, a function of the case alone, and everything that runs on it.

    Args:
        case: which.
        device: where.
        compiling: offer the torch.compile peer; without it, the peer says that it was skipped.
    """
    problem = {
        "fct_views": _views,
        "feature_distance": _features,
        "warp_distance": _warp,
        "contrastive_views": _contrastive,
        "supcon_loss": _supcon,
    }[case.op](case, device)
    if not compiling:
        problem.peers["torch.compile"] = refused("skipped in the dry run: compiling takes minutes")
    return problem


def _samples(case: Case) -> Tensor:
    count = min(case.batch, COMPARED_SAMPLES)
    return torch.linspace(0, case.batch - 1, count).round().long()


def _params(case: Case, height: int, width: int) -> Tensor:
    ids = torch.arange(case.batch)
    return ops.sample_rotate_affine(ids, 0, range(case.draws), 180.0, (0.2, 0.2), (height, width))


def _memory_format(case: Case) -> torch.memory_format:
    return torch.channels_last if case.layout == LAST else torch.contiguous_format


def _normal(case: Case, device: torch.device) -> Tensor:
    made = torch.randn(case.shape, generator=torch.Generator().manual_seed(0)).to(case.dtype)
    return made.to(device).contiguous(memory_format=_memory_format(case))


def _words(case: Case, params: Tensor, size: tuple[int, int], device: torch.device) -> Tensor:
    bilinear = case.interpolation == "bilinear"
    return torch.ops.fctfast.affine_coefficients(params, *size, bilinear).to(device)


def refused(reason: str) -> Maker:
    """Return the maker of a peer that has nothing to compare with."""

    def make() -> Peer:
        raise Unavailable(reason)

    return make


def _views(case: Case, device: torch.device) -> Problem:
    made = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, case.shape, dtype=torch.uint8, generator=made)
    size = (case.shape[1], case.shape[2])
    params, samples, form = _params(case, *size), _samples(case), _memory_format(case)
    exact = reference.fct_views(
        images[samples], params[:, samples], MEAN, STD,
        dtype=torch.float64, interpolation=case.interpolation,
    )  # fmt: skip
    images, words = images.to(device), _words(case, params, size, device)

    def by(sampler: Callable[[], peers.Sampler], how: Callable[..., Callable[[], Tensor]]) -> Maker:
        return lambda: Peer(how(sampler(), images, case.draws, case.dtype, form))

    mode = case.interpolation
    grid = lambda: peers.grid_sampler(params, size, mode, device)  # noqa: E731
    return Problem(
        kernel=lambda: torch.ops.fctfast.fct_views(
            images, words, list(MEAN), list(STD), True, case.dtype, case.layout == LAST, True
        ),
        public=lambda: ops.fct_views(
            images, params, MEAN, STD,
            dtype=case.dtype, memory_format=form, interpolation=mode,
        ),
        peers={
            "eager": by(grid, peers.views_by),
            "torch.compile": by(grid, peers.compiled_views),
            "kornia": by(
                lambda: peers.kornia_sampler(params, size, mode, device), peers.views_by
            ),
            "torchvision v2": by(lambda: peers.torchvision_sampler(params, mode), peers.views_by),
            "DALI": lambda: dali_views(images, params, case.dtype, case.layout == LAST, mode),
        },
        exact=exact.unflatten(0, (-1, len(samples))),
        samples=samples,
    )  # fmt: skip


def _features(case: Case, device: torch.device) -> Problem:
    features, samples, draws = _normal(case, device), _samples(case), case.draws
    grad = _upstream(case)
    chosen = features.unflatten(0, (1 + draws, -1))[:, samples.to(device)].cpu().double()

    def exact(x: Tensor) -> Tensor:
        return reference.feature_distance(x.flatten(0, 1), draws).reshape(draws, -1)

    def eager(x: Tensor) -> Tensor:
        return peers.feature_distance(x, draws)

    there = grad.to(device)
    return Problem(
        kernel=(
            (lambda: torch.ops.fctfast.feature_distance_backward(there, features, draws, False))
            if case.backward
            else (lambda: torch.ops.fctfast.feature_distance(features, draws, False))
        ),
        public=_run(case, lambda x: ops.feature_distance(x, draws), features, there),
        peers={
            "eager": lambda: Peer(_run(case, eager, features, there)),
            "torch.compile": lambda: Peer(_run(case, peers.compiled(eager), features, there)),
        },
        exact=_exact(case, exact, chosen, grad[:, samples]),
        samples=samples,
    )


def _warp(case: Case, device: torch.device) -> Problem:
    x, samples = _normal(case, device), _samples(case)
    size, mode = (case.shape[2], case.shape[3]), case.interpolation
    params, grad = _params(case, *size), _upstream(case)
    words, there, fill = _words(case, params, size, device), grad.to(device), [0.0] * case.shape[1]
    chosen = x[samples.to(device)].cpu().double()

    def exact(v: Tensor) -> Tensor:
        return reference.warp_distance(v[0], params[:, samples], interpolation=mode)

    def by(sampler: Callable[[], peers.Sampler], compiling: bool = False) -> Maker:
        def make() -> Peer:
            distance = peers.warp_distance_by(sampler())
            return Peer(_run(case, peers.compiled(distance) if compiling else distance, x, there))

        return make

    grid = lambda: peers.grid_sampler(params, size, mode, device)  # noqa: E731
    return Problem(
        kernel=(
            (lambda: torch.ops.fctfast.warp_distance_backward(there, x, words, fill, False))
            if case.backward
            else (lambda: torch.ops.fctfast.warp_distance(x, words, fill, False))
        ),
        public=_run(
            case, lambda v: ops.warp_distance(v, params, interpolation=mode), x, there
        ),
        peers={
            "eager": by(grid),
            "torch.compile": by(grid, compiling=True),
            "kornia": by(lambda: peers.kornia_sampler(params, size, mode, device)),
            "torchvision v2": by(lambda: peers.torchvision_sampler(params, mode)),
            "DALI": refused("has no such op; its warp alone is in the rows of fct_views"),
        },
        exact=_exact(case, exact, chosen[None], grad[:, samples]),
        samples=samples,
    )  # fmt: skip


def _contrastive(case: Case, device: torch.device) -> Problem:
    made = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, case.shape, dtype=torch.uint8, generator=made)
    params = ops.sample_contrastive(
        torch.arange(case.batch), 0, 0, case.draws, (case.shape[1], case.shape[2])
    )
    samples, form, size = _samples(case), _memory_format(case), (case.side, case.side)
    chosen = params.unflatten(0, (case.draws, -1))[:, samples].flatten(0, 1)
    exact = reference.contrastive_views(images[samples], chosen, MEAN, STD, size=size).double()
    images, there = images.to(device), params.to(device)

    def by(how: Callable[..., Callable[[Tensor], Tensor]]) -> Maker:
        def make() -> Peer:
            views = how(images, params, case.side, case.dtype, form)
            return Peer(lambda: views(images))

        return make

    return Problem(
        kernel=lambda: torch.ops.fctfast.contrastive_views(
            images, there, list(MEAN), list(STD), *size, True, case.dtype, case.layout == LAST
        ),
        public=lambda: ops.contrastive_views(
            images, params, MEAN, STD, size=size, dtype=case.dtype, memory_format=form
        ),
        peers={
            "eager": by(contrastive.batched),
            "torch.compile": by(contrastive.compiled_batched),
            "kornia": refused("one order of the colour steps for a batch, and no antialiasing"),
            "torchvision v2": by(contrastive.torchvision),
            "DALI": refused("its colour operators have one order, not one a view"),
        },
        exact=exact.unflatten(0, (case.draws, -1)),
        samples=samples,
    )


def _supcon(case: Case, device: torch.device) -> Problem:
    z, groups = gpu_supcon.data(case, device)
    samples = _samples(case)
    kernel, public, makers = gpu_supcon.calls(case, z, groups)
    return Problem(kernel, public, makers, gpu_supcon.exact(case, z, groups, samples), samples)


def _upstream(case: Case) -> Tensor:
    return torch.randn(case.draws, case.batch, generator=torch.Generator().manual_seed(1))


def _run(
    case: Case, function: Callable[[Tensor], Tensor], x: Tensor, grad: Tensor
) -> Callable[[], Tensor]:
    return peers.gradient_of(function, x, grad) if case.backward else (lambda: function(x))


def _exact(
    case: Case, function: Callable[[Tensor], Tensor], chosen: Tensor, grad: Tensor
) -> Tensor:
    if not case.backward:
        return function(chosen)
    leaf = chosen.requires_grad_()
    return torch.autograd.grad(function(leaf), leaf, grad.double())[0]
