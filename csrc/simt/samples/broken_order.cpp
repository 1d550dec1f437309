// Kernels whose threads do not meet as they must: barriers, warps, races.
#include "../../kernels/gpu/ptx.h"
#include "../../kernels/gpu/reduce.h"
#include "samples.h"
#include "with_parts.h"

namespace samples {
namespace {

using namespace fctfast::gpu;

__global__ void missing_barrier(const float* in, float* out) {
  FCT_SHARED(float, shared, 1024);
  shared[rank()] = in[global_rank()];
  out[global_rank()] = shared[(rank() + 1) % blockDim.x];
}

// The first barrier is there, the one before the array is used again is not.
__global__ void missing_second_barrier(const float* in, float* out) {
  FCT_SHARED(float, shared, 1024);
  float value = in[global_rank()];
  for (int turn = 0; turn < 2; ++turn) {
    shared[rank()] = value;
    __syncthreads();
    value = shared[(rank() + 1) % blockDim.x];
  }
  out[global_rank()] = value;
}

__global__ void missing_barrier_in_global(const float* in, float* out) {
  rotate_by_global<false>(in, out);
}

__global__ void missing_syncwarp(const float* in, float* out) {
  FCT_SHARED(float, shared, 1024);
  shared[rank()] = in[global_rank()];
  __shfl_sync(kAllLanes, 0, 0);  // meets, but orders nothing
  out[global_rank()] = shared[rank() / 32 * 32 + (rank() + 1) % 32];
}

__global__ void global_race(const float* in, float* out) {
  out[global_rank()] = in[global_rank()];
  out[(global_rank() + 1) % blockDim.x] = 1;
}

// Every block's first thread writes the same element.
__global__ void race_between_blocks(const float* in, float* out) {
  if (rank() == 0) out[0] = in[blockIdx.x];
}

// Right only if the blocks run one after the other.
__global__ void reads_the_block_before(const float* in, float* out) {
  out[global_rank()] = in[global_rank()];
  if (blockIdx.x > 0) out[global_rank()] = out[global_rank() - static_cast<int>(blockDim.x)];
}

__global__ void mask_without_itself(const float* in, float* out) {
  out[rank()] = __shfl_down_sync(0x0000FFFFu, in[rank()], 1);
}

__global__ void mask_of_half(const float* in, float* out) {
  // Lanes 0..15 name all lanes, of which the others never come.
  out[rank()] = rank() % 32 < 16 ? __shfl_xor_sync(kAllLanes, in[rank()], 1) : 0.0f;
}

__global__ void lanes_disagree(const float* in, float* out) {
  out[rank()] = rank() % 32 < 16 ? __shfl_xor_sync(kAllLanes, in[rank()], 1)
                                 : __shfl_xor_sync(kAllLanes, in[rank()], 2);
}

__global__ void reads_outside_mask(const float* in, float* out) {
  out[rank()] = rank() < 16 ? __shfl_sync(0x0000FFFFu, in[rank()], 20) : 0.0f;
}

__global__ void votes_disagree(const int* in, int* out) {
  out[rank()] =
      rank() < 8 ? __any_sync(kAllLanes, in[rank()] > 0) : __all_sync(kAllLanes, in[rank()] > 0);
}

__global__ void masks_disagree(const int* in, int* out) {
  __syncwarp(rank() < 8 ? 0x0000FFFFu : kAllLanes);
  out[rank()] = in[rank()];
}

__global__ void syncwarp_without_itself(const int* in, int* out) {
  __syncwarp(0x7FFFFFFFu);
  out[rank()] = in[rank()];
}

__global__ void mask_of_an_exited_lane(const int* in, int* out) {
  out[rank()] = in[rank()];
  if (rank() == 31) return;
  __syncwarp();
}

__global__ void width_of_24(const int* in, int* out) {
  out[rank()] = __shfl_down_sync(kAllLanes, in[rank()], 1, 24);
}

__global__ void divergent_barrier(const float* in, float* out) {
  if (rank() % 2 == 0) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  out[rank()] = in[rank()];
}

__global__ void exit_before_barrier(const float* in, float* out) {
  out[rank()] = in[rank()];
  if (rank() >= 40) return;
  __syncthreads();
}

__global__ void barrier_against_warp(const float* in, float* out) {
  if (rank() < 32) {
    __syncthreads();
  } else if (rank() < 48) {
    __syncwarp();
  }
  out[rank()] = in[rank()];
}

[[maybe_unused]] const bool kKnown = add({
    SAMPLE(missing_barrier),
    SAMPLE(missing_second_barrier),
    SAMPLE(missing_barrier_in_global),
    SAMPLE(missing_syncwarp),
    SAMPLE(global_race),
    SAMPLE(race_between_blocks),
    SAMPLE(reads_the_block_before),
    SAMPLE(mask_without_itself),
    SAMPLE(mask_of_half),
    SAMPLE(lanes_disagree),
    SAMPLE(reads_outside_mask),
    SAMPLE(votes_disagree),
    SAMPLE(masks_disagree),
    SAMPLE(syncwarp_without_itself),
    SAMPLE(mask_of_an_exited_lane),
    SAMPLE(width_of_24),
    SAMPLE(divergent_barrier),
    SAMPLE(exit_before_barrier),
    SAMPLE(barrier_against_warp),
});

}  // namespace
}  // namespace samples
