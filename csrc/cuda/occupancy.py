"""How many blocks of each kernel a unit runs at once: the table, and what launches count on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from kernel import Kernel
from ptx_report import LIMITS, occupancy

# Dynamic shared bytes of a launch, first match wins: the compiler's report cannot know them.
DYNAMIC_SHARED = (
    # The table of normalised bytes, for three channels.
    (r"fct_views_kernel<(Half|BFloat16), \d+, false, ", 3 * 256 * 2),
    (r"fct_views_kernel<", 3 * 256 * 4),
    # MapPlan: 24 channels of 7 x 7 float32 or 48 of 16 bits, and the start of a row, five times.
    (r"feature_distance_maps_kernel<", 5 * (4704 + 16)),
    # SumsShared::kBytes, SupConShared::kScratch, triangle_bytes, and SupConShared::kBytes.
    (r"supcon_sums_kernel<FloatProducts>", 43_008),
    (r"supcon_sums_kernel<Tf32Products>", 33_792),
    (r"supcon_sums_kernel<HalfProducts>", 34_816),
    (r"supcon_pulls_kernel<(Float|Tf32)Products, true>", 51_328),
    (r"supcon_pulls_kernel<(Float|Tf32)Products, false>", 51_200),
    (r"supcon_pulls_kernel<HalfProducts, true>", 36_096),
    (r"supcon_pulls_kernel<HalfProducts, false>", 35_840),
    (r"supcon_triangle_kernel<FloatProducts, 2>", 82_688),
    (r"supcon_triangle_kernel<FloatProducts, 1>", 65_536),
    (r"supcon_backward_kernel<FloatProducts, true, 2>", 78_080),
    (r"supcon_backward_kernel<FloatProducts, true, 1>", 60_544),
    (r"supcon_backward_kernel<Tf32Products, true, 2>", 68_864),
    (r"supcon_backward_kernel<Tf32Products, true, 1>", 51_328),
    (r"supcon_backward_kernel<HalfProducts, true, 2>", 54_784),
    (r"supcon_backward_kernel<HalfProducts, true, 1>", 36_096),
    (r"supcon_\w+_kernel<FloatProducts, \w+, 2>", 77_824),
    (r"supcon_\w+_kernel<FloatProducts, \w+, 1>", 60_416),
    (r"supcon_\w+_kernel<Tf32Products, \w+, 2>", 68_608),
    (r"supcon_\w+_kernel<Tf32Products, \w+, 1>", 51_200),
    (r"supcon_\w+_kernel<HalfProducts, \w+, 2>", 54_272),
    (r"supcon_\w+_kernel<HalfProducts, \w+, 1>", 35_840),
)

# Blocks on a unit of sm_90 that launches are planned with (kForwardBlocks of supcon_products.h).
PLANNED_BLOCKS = {
    "supcon_forward_kernel<FloatProducts, false, 2>": 2,
    "supcon_forward_kernel<Tf32Products, false, 2>": 3,
    "supcon_forward_kernel<HalfProducts, false, 2>": 3,
}


def check_planned(kernels: Iterable[Kernel]) -> list[str]:
    """As many blocks run at once as the launches of sm_90 count on."""
    wrong = []
    for k in kernels:
        planned = PLANNED_BLOCKS.get(k.name)
        if k.arch != 90 or planned is None or k.threads is None:
            continue
        blocks, _, why = occupancy(k.arch, k.threads, k.resources.registers, _shared_bytes(k))
        if blocks < planned:
            wrong.append(
                f"{k}: expected {planned} blocks on a unit, got {blocks}, limited by {why}: win "
                "them back, or plan with fewer (kForwardBlocks of supcon_products.h)"
            )
    return wrong


def _shared_bytes(k: Kernel) -> int:
    dynamic = next((size for name, size in DYNAMIC_SHARED if re.match(name, k.name)), 0)
    return k.resources.shared + dynamic


def occupancy_table(kernels: Sequence[Kernel]) -> str:
    """Markdown, one table for each architecture."""
    out = ["# Occupancy: computed from the compiler's report, not measured"]
    for arch in sorted({k.arch for k in kernels}):
        limits = LIMITS.get(arch)
        if limits is None:
            out.append(f"\n## sm_{arch}\n\nNo limits known: add them to LIMITS in ptx_report.py.")
            continue
        out += [
            f"\n## sm_{arch}: {limits.warps} warps, {limits.blocks} blocks, "
            f"{limits.registers} registers, {limits.shared >> 10} KiB shared memory an SM\n",
            "| kernel | threads | registers | shared B: static + dynamic | blocks/SM | warps/SM "
            "| occupancy | limited by |",
            "|---|---:|---:|---:|---:|---:|---:|---|",
        ]
        out += [_row(k) for k in sorted(kernels, key=lambda k: k.name) if k.arch == arch]
    return "\n".join(out) + "\n"


def _row(k: Kernel) -> str:
    r = k.resources
    dynamic = _shared_bytes(k) - r.shared
    cells = ["?", "?", "?", "unknown: the kernel has no __launch_bounds__"]
    if k.threads is not None:
        blocks, warps, why = occupancy(k.arch, k.threads, r.registers, _shared_bytes(k))
        cells = [str(blocks), str(warps), f"{100 * warps / LIMITS[k.arch].warps:g} %", why]
    head = [f"`{k.name}`", str(k.threads or "?"), str(r.registers), f"{r.shared} + {dynamic}"]
    return f"| {' | '.join(head + cells)} |"
