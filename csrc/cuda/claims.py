"""What the PTX of each kernel must hold: wide accesses, tensor cores, asynchronous copies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kernel import Kernel
from ptx_report import access, instructions

SIZES = {"float": 4, "double": 8, "Half": 2, "BFloat16": 2, "unsigned char": 1}


@dataclass(frozen=True)
class Claim:
    """What the PTX of kernels with this name must hold; with a group V, of full vectors alone.

    A need is the parts of an opcode in any order, the bytes it moves at least behind them:
    "st.global.cs 16", "ld.global 16", "mma.sync".
    """

    kernel: str
    needs: tuple[str, ...]
    since: int = 0  # the first architecture that has it


_T_V = r"<(?P<T>[\w ]+), (?P<V>\d+)[,>]"
CLAIMS = (
    Claim(rf"fct_views_kernel{_T_V}", ("st.global.cs 16",)),
    Claim(rf"feature_distance_kernel{_T_V}", ("ld.global 16",)),
    Claim(rf"feature_distance_maps_kernel{_T_V}", ("ld.shared 16",)),
    Claim(r"feature_distance_maps_kernel<", ("cp.async.cg",), since=80),
    Claim(rf"feature_distance_backward_kernel{_T_V}", ("ld.global 16", "st.global.cs 16")),
    Claim(rf"warp_distance_kernel{_T_V}", ("ld.global 16",)),
    Claim(r"warp_distance_backward_kernel<", ("st.global.cs",)),
    Claim(r"supcon_\w+_kernel<FloatProducts[,>]", ("fma.rn.f32", "ld.shared 16")),
    Claim(r"supcon_\w+_kernel<\w+, (\w+, )?\d>", ("cp.async.cg", "ex2.approx.ftz"), since=80),
    Claim(r"supcon_pulls_kernel<\w+, ", ("cp.async.cg", "ex2.approx.ftz"), since=80),
    Claim(r"supcon_pulls_kernel<", ("st.global 16",)),
    Claim(r"supcon_sums_kernel<", ("ld.global 16",)),
    Claim(r"supcon_sums_kernel<", ("cp.async.cg",), since=80),
    Claim(r"supcon_\w+_kernel<Tf32Products[,>]", ("mma.sync.m16n8k8.tf32",), since=80),
    Claim(
        r"supcon_\w+_kernel<HalfProducts[,>]", ("mma.sync.m16n8k16.f16", "ldmatrix.x4"), since=80
    ),
    Claim(r"contrastive_views_kernel<", ("st.global.cs",)),
)


def check_claims(
    kernels: Sequence[Kernel], claims: Iterable[Claim] = CLAIMS
) -> tuple[list[str], list[str]]:
    """Return what is wrong, and the claims that no kernel answers to."""
    wrong, idle = [], []
    for claim in claims:
        matches = [(k, m) for k in kernels if (m := re.match(claim.kernel, k.name))]
        if not matches:
            idle.append(f"claim {claim.kernel}: no kernel of this name")
        for k, m in matches:
            if k.arch < claim.since:
                continue
            if (groups := m.groupdict()).get("V"):
                size = SIZES.get(groups["T"])
                if size is None:
                    wrong.append(f"{k}: expected a type of SIZES, got {groups['T']}: add it there")
                    continue
                if size * int(groups["V"]) != 16:
                    continue
            wrong += [
                f"{k}: expected {_words(need)}, got {_moves(k.body)}: see CLAIMS"
                for need in claim.needs
                if not has(k.body, need)
            ]
    return wrong, idle


def has(body: str, need: str) -> bool:
    """Whether some instruction has every part of the need and moves as many bytes."""
    wanted, _, size = need.partition(" ")
    kind, *parts = wanted.split(".")
    for opcode in instructions(body):
        found = opcode.split(".")
        if found[0] == kind and set(parts) <= set(found[1:]):
            moved = access(opcode)
            if not size or (moved is not None and moved.size >= int(size)):
                return True
    return False


def _words(need: str) -> str:
    opcode, _, size = need.partition(" ")
    return f"{opcode} of {size} bytes" if size else opcode


def _moves(body: str) -> str:
    seen = {
        op for op in instructions(body) if ((a := access(op)) and a.space in ("global", "generic"))
    }
    return ", ".join(sorted(seen)) or "no global access"
