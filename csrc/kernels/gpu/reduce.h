// Sums over lanes and over teams of warps, always in the same order.
#pragma once

#include "device.h"

namespace fctfast::gpu {

// The sum over each group of `width` lanes that lie `stride` apart (powers of two); every lane of
// the warp calls, and every lane gets its group's sum: both partners of a step add the same two
// numbers.
template <typename T>
__device__ __forceinline__ T lane_sum(T value, int width = kWarp, int stride = 1) {
  for (int offset = width / 2; offset > 0; offset /= 2)
    value += __shfl_xor_sync(kAllLanes, value, offset * stride);
  return value;
}

// A block is split into teams of `team_warps` warps (a power of two). Thread 0 of each team gets
// the team's N sums, the partial sums of its warps added in their order. Every thread of the block
// calls; the shared memory is free again when the call returns.
template <int Threads = kThreads, int N, typename T>
__device__ __forceinline__ void team_sums(T (&value)[N], int team_warps) {
  for (int i = 0; i < N; ++i) value[i] = lane_sum(value[i]);
  if (team_warps == 1) return;  // the same for the whole block
  FCT_SHARED(T, partial, (Threads / kWarp) * N);
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  if (threadIdx.x % kWarp == 0)
    for (int i = 0; i < N; ++i) partial[warp * N + i] = value[i];
  __syncthreads();
  if (threadIdx.x % (team_warps * kWarp) == 0)
    for (int i = 0; i < N; ++i)
      for (int w = 1; w < team_warps; ++w) value[i] += partial[(warp + w) * N + i];
  __syncthreads();
}

}  // namespace fctfast::gpu
