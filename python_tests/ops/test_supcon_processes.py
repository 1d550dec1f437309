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
from fctfast.train import backward_in_chunks

folder, rank, counts = sys.argv[1], int(sys.argv[2]), [int(c) for c in sys.argv[3].split(",")]
kind = sys.argv[4]
torch.set_num_threads(1)
if kind == "cuda":
    torch.cuda.set_device(rank)
dist.init_process_group("nccl" if kind == "cuda" else "gloo",
                        init_method=f"file://{folder}/store", rank=rank, world_size=len(counts))
everybody = dist.group.WORLD
torch.set_default_device(kind)
given = {name: t.to(kind) for name, t in read_tensors(f"{folder}/given.safetensors")[0].items()}
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
if min(counts) > 1:  # the same through the network in two parts
    layer.weight.grad = None
    own = given["random"][mine]
    backward_in_chunks(
        network, lambda rows: (network(own[rows]),) * 2, torch.arange(len(own)),
        lambda z, _: supcon_loss(z, group, 0.1, 0.07, process_group=everybody),
        chunk=-(-len(own) // 2),
    )
    made["chunks"] = layer.weight.grad
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
again = layer(given["random"][mine])
loss = supcon_loss(again, group, 0.1, process_group=everybody)
(slope,) = torch.autograd.grad(loss, again, create_graph=True)
try:
    slope.square().sum().backward()
except NotImplementedError as error:
    print(error)
made = {name: value.detach().cpu() for name, value in made.items()}
write_tensors(f"{folder}/made-{rank}.safetensors", made, {})
dist.destroy_process_group()
"""

# One of two processes that ask for different losses: each says so, and none waits for the other.
DIFFERENT = """
import sys
import torch, torch.distributed as dist
from fctfast.ops import supcon_loss

folder, rank = sys.argv[1], int(sys.argv[2])
dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
rows, group = torch.ones(4, 8 + rank), torch.arange(4)
for z, temperature in (
    (rows, 0.1), (rows[:, :8].to((torch.float32, torch.float16)[rank]), 0.1),
    (rows[:, :8], 0.1 + 0.4 * rank),
):
    try:
        supcon_loss(z, group, temperature, 0.1, process_group=dist.group.WORLD)
    except ValueError as error:
        print(error)
dist.destroy_process_group()
"""


def start(program: str, *arguments: object, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
    )


def outputs(processes: list[subprocess.Popen[str]]) -> list[str]:
    printed = []
    try:
        for process in processes:
            out, said = process.communicate(timeout=300)
            assert process.returncode == 0, said
            printed.append(out)
    finally:
        for process in processes:  # the others wait for one that failed
            process.kill()
    return printed


def run(
    folder: Path, counts: list[int], given: dict[str, Tensor], kind: str = "cpu"
) -> list[dict[str, Tensor]]:
    write_tensors(folder / "given.safetensors", given, {})
    of_all = ",".join(map(str, counts))
    ranks = range(len(counts))
    printed = outputs([start(WORKER, folder, rank, of_all, kind, cwd=folder) for rank in ranks])
    # A second derivative is refused, as by one process, and not dropped.
    assert all("supcon_loss is differentiable once" in said for said in printed)
    return [read_tensors(folder / f"made-{rank}.safetensors")[0] for rank in ranks]


def weight_gradient(
    loss: Callable[..., Tensor], x: Tensor, given: dict[str, Tensor], dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    weight = given["weight"].clone().to(dtype).requires_grad_()
    value = loss(x.to(dtype) @ weight.T, given["group"], 0.1, 0.07)
    return value.detach(), torch.autograd.grad(value, weight)[0]


def error(found: Tensor, exact: Tensor) -> float:
    return float((found.double() - exact.double()).norm() / exact.double().norm())


def rows_for(counts: list[int]) -> dict[str, Tensor]:
    made = torch.Generator().manual_seed(1)
    rows = sum(counts)
    group = torch.randint(0, 8, (rows,), generator=made)
    x = torch.randn(rows, 24, generator=made)
    return {
        "weight": torch.randn(128, 24, generator=made),
        "group": group,
        "random": x,
        "collapsed": torch.randn(8, 24, generator=made)[group] + 0.05 * x,
    }


@pytest.mark.parametrize("counts", [[70, 41], [33, 64, 50], [1, 40, 0, 96]])
def test_gradient_is_that_of_one_process(counts: list[int], tmp_path: Path) -> None:
    given = rows_for(counts)
    group = given["group"]
    found = run(tmp_path, counts, given)
    for name in ("random", "collapsed"):
        loss, gradient = weight_gradient(supcon_loss, given[name], given, torch.float32)
        _, exact = weight_gradient(reference.supcon_loss, given[name], given, torch.float64)
        for one in found:
            assert float(one[f"{name} loss"]) == pytest.approx(float(loss), rel=1e-6)
            assert torch.equal(one[name], found[0][name])
        if name == "random":
            assert error(found[0][name], gradient) <= 1e-6
            if min(counts) > 1:
                assert error(found[0]["chunks"], gradient) <= 1e-6
        else:
            assert error(found[0][name], exact) <= 2 * error(gradient, exact)
    # 16 bits travel as they are; the gradients are those of the sum, times the processes.
    z = given["random"] @ given["weight"].T
    half = z.bfloat16().requires_grad_()
    single = supcon_loss(half, group, 0.1)
    (wanted,) = torch.autograd.grad(single, half)
    assert float(found[0]["half loss"]) == pytest.approx(float(single.detach()), rel=1e-3)
    together = torch.cat([one["half"] for one in found]) / len(counts)
    # Each element is rounded once more: by half of bfloat16's 2^-8 at most.
    assert error(together, wanted) <= 2**-8
    # Samples of different processes are different samples: unflagged, each has its own two views.
    few = min(counts)
    starts = [sum(counts[:rank]) for rank in range(len(counts))]
    kept = torch.cat([z[start : start + few] for start in starts])
    alone = supcon_loss(kept.repeat(2, 1), torch.arange(len(kept)).repeat(2), 0.1, 0.07)
    assert float(found[0]["alone"]) == pytest.approx(float(alone), rel=1e-5)
    assert float(found[0]["masked"]) == pytest.approx(float(alone), rel=1e-5)


@pytest.mark.cuda
def test_gradient_over_nccl_is_that_of_one_process(tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU: NCCL")
    counts = [70, 41, 33, 64][: torch.cuda.device_count()]  # NCCL wants a GPU for each process
    given = rows_for(counts)
    found = run(tmp_path, counts, given, "cuda")
    for name in ("random", "collapsed"):
        _, gradient = weight_gradient(supcon_loss, given[name], given, torch.float32)
        _, exact = weight_gradient(reference.supcon_loss, given[name], given, torch.float64)
        room = 2 * error(gradient, exact) + 1e-6
        for one in found:
            assert torch.equal(one[name], found[0][name])
            assert error(one[name], exact) <= room
    _, exact = weight_gradient(reference.supcon_loss, given["random"], given, torch.float64)
    assert error(found[0]["chunks"], exact) <= 3e-6


def test_processes_that_differ_all_say_so(tmp_path: Path) -> None:
    printed = outputs([start(DIFFERENT, tmp_path, rank, cwd=tmp_path) for rank in range(2)])
    assert printed[0] == printed[1]
    of_rows, of_dtype, of_temperature = printed[0].splitlines()
    assert "float32 rows of 8, " in of_rows
    assert "float32 rows of 9, " in of_rows
    assert "float32 rows of 8" in of_dtype
    assert "float16 rows of 8" in of_dtype
    assert "temperature 0.1, " in of_temperature
    assert "temperature 0.5, " in of_temperature
    assert "of rank 1" in of_temperature
