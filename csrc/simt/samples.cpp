#include "samples.h"

#include <map>

#include "../kernels/gpu/ptx.h"
#include "../kernels/gpu/reduce.h"

namespace samples {
namespace {

using namespace fctfast::gpu;

__device__ inline int rank() { return static_cast<int>(threadIdx.x); }
__device__ inline int global_rank() { return static_cast<int>(blockIdx.x * blockDim.x) + rank(); }

// ---- right -------------------------------------------------------------------------------------

// Each thread takes its right neighbour's number, through dynamic shared memory.
__global__ void rotate(const float* in, float* out) {
  FCT_DYNAMIC_SHARED(bytes);
  float* shared = reinterpret_cast<float*>(bytes);
  shared[rank()] = in[global_rank()];
  __syncthreads();
  out[global_rank()] = shared[(rank() + 1) % blockDim.x];
}

// The same with two barriers and static shared memory, twice over one array.
__global__ void rotate_twice(const float* in, float* out) {
  FCT_SHARED(float, shared, 1024);
  float value = in[global_rank()];
  for (int turn = 0; turn < 2; ++turn) {
    shared[rank()] = value;
    __syncthreads();
    value = shared[(rank() + 1) % blockDim.x];
    __syncthreads();
  }
  out[global_rank()] = value;
}

__global__ void rotate_in_warp(const float* in, float* out) {
  FCT_SHARED(float, shared, 1024);
  shared[rank()] = in[global_rank()];
  __syncwarp();
  const float value = shared[rank() / 32 * 32 + (rank() + 1) % 32];
  __syncwarp();
  shared[rank()] = value + 1;
  out[global_rank()] = shared[rank()];
}

// Sums by teams of one warp and of the whole block.
__global__ void sums(const float* in, float* out) {
  float value[2] = {in[global_rank()], 2 * in[global_rank()]};
  team_sums(value, 1);
  float whole[1] = {in[global_rank()]};
  team_sums(whole, kThreads / kWarp);
  if (rank() % 32 == 0) out[rank() / 32] = value[0] + value[1];
  if (rank() == 0) out[kThreads / kWarp] = whole[0];
}

__global__ void shuffles(const int* in, int* out) {
  const int value = in[rank()], lane = rank() % 32;
  int* mine = out + 8 * rank();
  mine[0] = __shfl_sync(kAllLanes, value, lane + 5);
  mine[1] = __shfl_up_sync(kAllLanes, value, 3, 16);
  mine[2] = __shfl_down_sync(kAllLanes, value, 3, 16);
  mine[3] = __shfl_xor_sync(kAllLanes, value, 9);
  mine[4] = static_cast<int>(__ballot_sync(kAllLanes, value % 2 != 0));
  mine[5] = __any_sync(kAllLanes, value == 7);
  mine[6] = __all_sync(kAllLanes, value >= 0);
  // Two halves of the warp, each with a mask of its own.
  mine[7] =
      lane < 16 ? __shfl_xor_sync(0x0000FFFFu, value, 1) : __shfl_xor_sync(0xFFFF0000u, value, 2);
}

__global__ void atomics(const int* in, int* out) {
  // out: count, sum as float, maximum, minimum, exchanged, compared
  if (global_rank() == 0)
    for (int i = 0; i < 6; ++i) atomicExch(out + i, i == 3 ? 1 << 30 : 0);
  __syncthreads();
  const int value = in[rank()];
  atomicAdd(out, 1);
  atomicAdd(reinterpret_cast<float*>(out) + 1, static_cast<float>(value));
  atomicMax(out + 2, value);
  atomicMin(out + 3, value);
  atomicExch(out + 4, 5);
  atomicCAS(out + 5, 0, 9);
}

// Two stages of copies in flight; the second group ends in zeros.
__global__ void copies(const float* in, float* out) {
  FCT_SHARED(float, shared, 8 * 32);
  float* mine = shared + 8 * rank();
  copy_async_16(mine, in + 8 * rank());
  commit_copies();
  copy_async_16(mine + 4, in + 8 * rank() + 4, 8);
  commit_copies();
  wait_for_copies<1>();
  for (int i = 0; i < 4; ++i) out[8 * rank() + i] = mine[i];
  wait_for_copies<0>();
  __syncthreads();
  const float* other = shared + 8 * ((rank() + 1) % 32);
  for (int i = 4; i < 8; ++i) out[8 * rank() + i] = other[i];
}

// One product of tiles: in holds a [16, K] and b [K, 8] row by row, out d [16, 8].
enum class Tile { f16, bf16, tf32, raw_tf32 };
template <Tile kind>
__device__ void product(const uint16_t* in, float* out) {
  const int g = rank() / 4, t = rank() % 4;
  float d[4] = {};
  uint32_t a[4], b[2];
  if constexpr (kind == Tile::tf32 || kind == Tile::raw_tf32) {
    const float *left = reinterpret_cast<const float*>(in), *right = left + 16 * 8;
    const auto word = [](float v) {
      return kind == Tile::tf32 ? to_tf32(v) : fctfast::float_to_bits(v);
    };
    for (int r = 0; r < 4; ++r) a[r] = word(left[(g + 8 * (r & 1)) * 8 + t + 4 * (r >> 1)]);
    for (int r = 0; r < 2; ++r) b[r] = word(right[(t + 4 * r) * 8 + g]);
    mma_tf32(d, a, b);
  } else {
    FCT_SHARED(uint16_t, left, 16 * 16);
    for (int i = rank(); i < 16 * 16; i += 32) left[i] = in[i];
    __syncthreads();
    // Matrices in the order of the product's registers: rows 0..7 and 8..15, then columns 8..15.
    uint32_t loaded[4];
    load_matrices<false>(loaded, left + (rank() % 16) * 16 + rank() / 16 * 8);
    for (int r = 0; r < 4; ++r) a[r] = loaded[r];
    const uint16_t* right = in + 16 * 16;
    for (int r = 0; r < 2; ++r)
      b[r] = right[(2 * t + 8 * r) * 8 + g] | uint32_t{right[(2 * t + 1 + 8 * r) * 8 + g]} << 16;
    kind == Tile::f16 ? mma_f16(d, a, b) : mma_bf16(d, a, b);
  }
  for (int i = 0; i < 4; ++i) out[(g + 8 * (i >> 1)) * 8 + 2 * t + (i & 1)] = d[i];
}
__global__ void product_f16(const uint16_t* in, float* out) { product<Tile::f16>(in, out); }
__global__ void product_bf16(const uint16_t* in, float* out) { product<Tile::bf16>(in, out); }
__global__ void product_tf32(const uint16_t* in, float* out) { product<Tile::tf32>(in, out); }
__global__ void product_raw_tf32(const uint16_t* in, float* out) {
  product<Tile::raw_tf32>(in, out);
}

// Four 8 x 8 matrices, turned: out [4, 8, 8].
__global__ void turn_matrices(const uint16_t* in, uint16_t* out) {
  FCT_SHARED(uint16_t, shared, 4 * 64);
  for (int i = rank(); i < 4 * 64; i += 32) shared[i] = in[i];
  __syncthreads();
  uint32_t got[4];
  load_matrices<true>(got, shared + 8 * rank());
  for (int m = 0; m < 4; ++m)
    for (int i = 0; i < 2; ++i)
      out[64 * m + 8 * (rank() / 4) + 2 * (rank() % 4) + i] =
          static_cast<uint16_t>(got[m] >> (16 * i));
}

__global__ void fast_math(const float* in, float* out) {
  const float x = in[rank()];
  float* mine = out + 8 * rank();
  mine[0] = __expf(x);
  mine[1] = __logf(x);
  mine[2] = __log2f(x);
  mine[3] = __sinf(x);
  mine[4] = __cosf(x);
  mine[5] = __fdividef(x, 3.0f);
  mine[6] = rsqrtf(x);
  mine[7] = __exp10f(x);
}

// ---- broken ------------------------------------------------------------------------------------

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

// A tile of 32 with its loop one step too long.
__global__ void tile_off_by_one(const float* in, float* out) {
  FCT_SHARED(float, tile, 32);
  tile[rank()] = in[rank()];
  __syncthreads();
  float sum = 0;
  for (int i = 0; i <= 32; ++i) sum += tile[i];
  out[rank()] = sum;
}

__global__ void shared_write_out_of_bounds(const float* in, float* out) {
  FCT_DYNAMIC_SHARED(bytes);
  reinterpret_cast<float*>(bytes)[rank() + 1] = in[rank()];
  __syncthreads();
  out[rank()] = 0;
}

__global__ void global_read_out_of_bounds(const float* in, float* out) {
  out[rank()] = in[rank() + 1];
}

__global__ void global_write_out_of_bounds(const float* in, float* out) {
  out[rank() + 1] = in[rank()];
}

__global__ void writes_its_input(const float* in, float* out) {
  const_cast<float*>(in)[rank()] = 0;
  out[rank()] = 0;
}

__global__ void misaligned(const float* in, float* out) {
  const auto got = load(reinterpret_cast<const Vec<float, 4>*>(in + 1));
  out[rank()] = got.at[0];
}

__global__ void uninitialised_shared(const float* in, float* out) {
  FCT_SHARED(float, shared, 64);
  shared[rank()] = in[rank()];
  __syncthreads();
  out[rank()] = shared[rank() + 1];
}

__global__ void leaves_a_hole(const float* in, float* out) {
  if (rank() != 5) out[rank()] = in[rank()];
}

__global__ void missing_wait(const float* in, float* out) {
  FCT_SHARED(float, shared, 128);
  copy_async_16(shared + 4 * rank(), in + 4 * rank());
  commit_copies();
  __syncthreads();
  out[rank()] = shared[4 * rank()];
  wait_for_copies<0>();
}

__global__ void never_waits(const float* in, float* out) {
  FCT_SHARED(float, shared, 128);
  copy_async_16(shared + 4 * rank(), in + 4 * rank());
  commit_copies();
  out[rank()] = 0;
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

__global__ void too_much_static_shared(const float* in, float* out) {
  FCT_SHARED(float, large, 16384);
  large[rank()] = in[rank()];
  out[rank()] = large[rank()];
}

// ---- by name -----------------------------------------------------------------------------------

struct Launch {
  const void* in;
  void* out;
  unsigned grid, block;
  size_t shared;

  template <typename In, typename Out>
  void operator()(void (*kernel)(const In*, Out*)) const {
    simt::launch(kernel, simt::Dim3(grid), simt::Dim3(block), shared, static_cast<const In*>(in),
                 static_cast<Out*>(out));
  }
};

#define SAMPLE(name) {#name, [](const Launch& launch) { launch(&name); }}
const std::map<std::string, void (*)(const Launch&)> kSamples = {
    SAMPLE(rotate),
    SAMPLE(rotate_twice),
    SAMPLE(rotate_in_warp),
    SAMPLE(sums),
    SAMPLE(shuffles),
    SAMPLE(atomics),
    SAMPLE(copies),
    SAMPLE(product_f16),
    SAMPLE(product_bf16),
    SAMPLE(product_tf32),
    SAMPLE(product_raw_tf32),
    SAMPLE(turn_matrices),
    SAMPLE(fast_math),
    SAMPLE(missing_barrier),
    SAMPLE(missing_second_barrier),
    SAMPLE(missing_syncwarp),
    SAMPLE(global_race),
    SAMPLE(race_between_blocks),
    SAMPLE(mask_without_itself),
    SAMPLE(mask_of_half),
    SAMPLE(lanes_disagree),
    SAMPLE(reads_outside_mask),
    SAMPLE(tile_off_by_one),
    SAMPLE(shared_write_out_of_bounds),
    SAMPLE(global_read_out_of_bounds),
    SAMPLE(global_write_out_of_bounds),
    SAMPLE(writes_its_input),
    SAMPLE(misaligned),
    SAMPLE(uninitialised_shared),
    SAMPLE(leaves_a_hole),
    SAMPLE(missing_wait),
    SAMPLE(never_waits),
    SAMPLE(divergent_barrier),
    SAMPLE(exit_before_barrier),
    SAMPLE(barrier_against_warp),
    SAMPLE(too_much_static_shared),
};
#undef SAMPLE

}  // namespace
}  // namespace samples

void simt::run_sample(const std::string& name, const void* in, void* out, unsigned grid,
                      unsigned block, size_t shared) {
  const auto found = samples::kSamples.find(name);
  if (found == samples::kSamples.end()) throw Error("no sample kernel is called " + name);
  found->second({in, out, grid, block, shared});
}
