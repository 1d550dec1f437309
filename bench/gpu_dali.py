"""NVIDIA DALI as a peer of fct_views: one warp_affine a draw, crop_mirror_normalize for each part.

The whole tau is one matrix a sample, sampled once: cheaper than fn.rotate and then fn.warp_affine.
Images and matrices lie on the device. DALI works on its own stream, so it is timed by the wall
clock, without prefetching: from an idle device to the finished batch.
"""

from __future__ import annotations

from typing import Any

import torch
from gpu_peers import MEAN, STD, Peer, Unavailable, backward_matrices
from torch import Tensor


def dali_views(
    images: Tensor, params: Tensor, dtype: torch.dtype, channels_last: bool, mode: str
) -> Peer:
    """Build the pipeline; its K + 1 batches are left apart, as DALI gives them.

    Args:
        images: uint8 [B, H, W, C] on the GPU (on the CPU: DALI's CPU operators, for a dry run).
        params: float32 [K, B, 3].
        dtype: float32 or float16.
        channels_last: lay the output out as [B, H, W, C].
        mode: "nearest" or "bilinear".
    """
    try:
        from nvidia.dali import fn, pipeline_def, types
    except ImportError as error:
        raise Unavailable(f"not installed ({error})") from error
    kinds = {torch.float32: types.FLOAT, torch.float16: types.FLOAT16}
    if dtype not in kinds:
        raise Unavailable("DALI's crop_mirror_normalize writes no bfloat16")
    batch, height, width, _ = images.shape
    device = "gpu" if images.is_cuda else "cpu"
    way = {"nearest": types.INTERP_NN, "bilinear": types.INTERP_LINEAR}[mode]
    matrices = backward_matrices(params, height, width).float().to(images.device)

    def fed(data: Tensor, layout: str | None = None) -> Any:
        given = data if images.is_cuda else data.numpy()
        return fn.external_source(
            source=lambda: given, device=device, layout=layout, batch=True, no_copy=True
        )

    @pipeline_def(
        batch_size=batch,
        num_threads=1,
        device_id=images.device.index if images.is_cuda else None,
        prefetch_queue_depth=1,
    )
    def pipeline() -> Any:
        x = fed(images, "HWC")
        moved = [
            fn.warp_affine(x, fed(matrix), interp_type=way, fill_value=0, inverse_map=True)
            for matrix in matrices
        ]
        return tuple(
            fn.crop_mirror_normalize(
                part,
                dtype=kinds[dtype],
                output_layout="HWC" if channels_last else "CHW",
                mean=[255 * m for m in MEAN],
                std=[255 * s for s in STD],
            )
            for part in [x, *moved]
        )

    built = pipeline()
    built.build()

    def tensor(made: Any) -> Tensor:
        # Through the host: only the comparison reads it, never the clock.
        parts = [part.as_cpu() if images.is_cuda else part for part in made]
        joined = torch.cat([torch.from_numpy(part.as_array().copy()) for part in parts])
        return joined.permute(0, 3, 1, 2) if channels_last else joined

    return Peer(built.run, tensor, "wall")
