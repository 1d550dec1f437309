"""supcon_loss over several processes: DDP's mean gradient is that of one process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fctfast.io import read_tensors, write_tensors
from fctfast.ops import reference, supcon_loss

# One of W processes: its rows go through a layer of its own copy of the weights, under DDP.
WORKER = """
import sys
import torch, torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from fctfast.io import read_tensors, write_tensors
from fctfast.ops import SSCTLLoss, SupConLoss, supcon_loss

folder, rank, counts = sys.argv[1], int(sys.argv[2]), [int(c) for c in sys.argv[3].split(",")]
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank,
                        world_size=len(counts))
everybody = dist.group.WORLD
given, _ = read_tensors(f"{folder}/given.safetensors")
mine = slice(sum(counts[:rank]), sum(counts[:rank + 1]))
group = given["group"][mine]
layer = torch.nn.Linear(*given["weight"].shape[::-1], bias=False)
layer.weight.data.copy_(given["weight"])
network = DistributedDataParallel(layer)
made = {}
for name in ("random", "collapsed"):
    layer.weight.grad = None
    loss = supcon_loss(network(given[name][mine]), group, 0.1, 0.07, process_group=everybody)
    loss.backward()
    made |= {f"{name} loss": loss.detach(), name: layer.weight.grad}
z = layer(given["random"][mine]).detach()
half = z.bfloat16().requires_grad_()
made["half loss"] = supcon_loss(half, group, 0.1, process_group=everybody)
made["half loss"].backward()
made["half"] = half.grad.float()
features = z[: min(counts)].reshape(-1, 1, z.shape[1]).repeat(1, 2, 1)
clean = torch.zeros(len(features), dtype=torch.bool)
made["alone"] = SSCTLLoss(process_group=everybody)(features, clean.long(), clean)
# A mask knows its own process's samples only.
mask = torch.eye(len(features))
made["masked"] = SupConLoss(0.1, process_group=everybody)(features, mask=mask)
made = {name: value.detach() for name, value in made.items()}
write_tensors(f"{folder}/made-{rank}.safetensors", made, {})
dist.destroy_process_group()
"""


def run(folder: Path, counts: list[int], given: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    write_tensors(folder / "given.safetensors", given, {})
    of_all = ",".join(map(str, counts))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(folder), str(rank), of_all],
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
        )
        for rank in range(len(counts))
    ]
    try:
        for process in processes:
            _, said = process.communicate(timeout=300)
            assert process.returncode == 0, said
    finally:
        for process in processes:  # the others wait for one that failed
            process.kill()
    return [read_tensors(folder / f"made-{rank}.safetensors")[0] for rank in range(len(counts))]


def weight_gradient(
    loss: Callable[..., Tensor], x: Tensor, given: dict[str, Tensor], dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    weight = given["weight"].clone().to(dtype).requires_grad_()
    value = loss(x.to(dtype) @ weight.T, given["group"], 0.1, 0.07)
    return value.detach(), torch.autograd.grad(value, weight)[0]


def error(found: Tensor, exact: Tensor) -> float:
    return float((found.double() - exact.double()).norm() / exact.double().norm())


@pytest.mark.parametrize("counts", [[70, 41], [33, 64, 50], [1, 40, 0, 96]])
def test_gradient_is_that_of_one_process(counts: list[int], tmp_path: Path) -> None:
    made = torch.Generator().manual_seed(1)
    rows = sum(counts)
    group = torch.randint(0, 8, (rows,), generator=made)
    x = torch.randn(rows, 24, generator=made)
    given = {
        "weight": torch.randn(128, 24, generator=made),
        "group": group,
        "random": x,
        "collapsed": torch.randn(8, 24, generator=made)[group] + 0.05 * x,
    }
    found = run(tmp_path, counts, given)
    for name in ("random", "collapsed"):
        loss, gradient = weight_gradient(supcon_loss, given[name], given, torch.float32)
        _, exact = weight_gradient(reference.supcon_loss, given[name], given, torch.float64)
        for one in found:
            assert float(one[f"{name} loss"]) == pytest.approx(float(loss), rel=1e-6)
            assert torch.equal(one[name], found[0][name])
        if name == "random":
            assert error(found[0][name], gradient) <= 1e-6
        else:
            assert error(found[0][name], exact) <= 2 * error(gradient, exact)
    # 16 bits travel as they are; the gradients are those of the sum, times the processes.
    z = given["random"] @ given["weight"].T
    half = z.bfloat16().requires_grad_()
    single = supcon_loss(half, group, 0.1)
    (wanted,) = torch.autograd.grad(single, half)
    assert float(found[0]["half loss"]) == pytest.approx(float(single.detach()), rel=1e-3)
    together = torch.cat([one["half"] for one in found]) / len(counts)
    assert error(together, wanted) <= 0.05
    # Samples of different processes are different samples: unflagged, each has its own two views.
    few = min(counts)
    starts = [sum(counts[:rank]) for rank in range(len(counts))]
    kept = torch.cat([z[start : start + few] for start in starts])
    alone = supcon_loss(kept.repeat(2, 1), torch.arange(len(kept)).repeat(2), 0.1, 0.07)
    assert float(found[0]["alone"]) == pytest.approx(float(alone), rel=1e-5)
    assert float(found[0]["masked"]) == pytest.approx(float(alone), rel=1e-5)
