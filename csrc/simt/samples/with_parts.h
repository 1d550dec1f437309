// Kernels with a part that broken samples leave out.
#pragma once

#include "../../kernels/gpu/ptx.h"
#include "samples.h"

namespace samples {

using namespace fctfast::gpu;

// Each thread takes its right neighbour's number through global memory: out is [2, threads].
template <bool Barrier>
__device__ void rotate_by_global(const float* in, float* out) {
  out[rank()] = in[rank()];
  if (Barrier) __syncthreads();
  out[blockDim.x + rank()] = out[(rank() + 1) % blockDim.x];
}

// Each thread adds up its column of tiles [tiles, 4, 32], which the block copies two deep: a tile
// is summed while the next one is on its way. Without one of its parts it is broken.
enum class Part { none, wait, last_wait, barrier_after_wait, barrier_before_refill, commit };
template <Part missing>
__device__ void pipeline(const float* in, float* out) {
  constexpr int kTile = 4 * 32, kTiles = 5;
  FCT_SHARED(float, tiles, 2 * kTile);
  const auto start = [&](int tile) {
    copy_async_16(tiles + tile % 2 * kTile + 4 * rank(), in + tile * kTile + 4 * rank());
    if (missing != Part::commit) commit_copies();
  };
  start(0);
  float sum = 0;
  for (int tile = 0; tile < kTiles; ++tile) {
    if (tile + 1 < kTiles) start(tile + 1);
    if (missing != Part::wait) {
      if (tile + 1 < kTiles || missing == Part::last_wait) {
        wait_for_copies<1>();
      } else {
        wait_for_copies<0>();
      }
    }
    if (missing != Part::barrier_after_wait) __syncthreads();
    for (int row = 0; row < 4; ++row) sum += tiles[tile % 2 * kTile + row * 32 + rank()];
    if (missing != Part::barrier_before_refill) __syncthreads();
  }
  wait_for_copies<0>();
  out[rank()] = sum;
}

}  // namespace samples
