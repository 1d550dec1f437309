// Kernels that are right: the executor must give their numbers in every order and mode.
#include "../../kernels/gpu/ptx.h"
#include "../../kernels/gpu/reduce.h"
#include "samples.h"
#include "with_parts.h"

namespace samples {
namespace {

using namespace fctfast::gpu;

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

__global__ void rotate_in_global(const float* in, float* out) { rotate_by_global<true>(in, out); }

// Where each thread is: out [threads, 6] in the order of the launch.
__global__ void coordinates(const int*, int* out) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  int* mine = out + 6 * (block * blockDim.x * blockDim.y * blockDim.z + thread);
  const unsigned words[6] = {blockIdx.x,  blockIdx.y,  blockIdx.z,
                             threadIdx.x, threadIdx.y, threadIdx.z};
  for (int i = 0; i < 6; ++i) mine[i] = static_cast<int>(words[i]);
}

// When each thread of a block had its turn, before a barrier and after it.
__global__ void turns(const int*, int* out) {
  FCT_SHARED(int, counter, 2);
  if (rank() == 0) counter[0] = counter[1] = 0;
  __syncthreads();
  int* mine = out + 2 * global_rank();
  for (int i = 0; i < 2; ++i) {
    mine[i] = atomicAdd(counter + i, 1);
    __syncthreads();
  }
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

__global__ void wide_shuffles(const int64_t* in, int64_t* out) {
  const int64_t value = in[rank()];
  int64_t* mine = out + 6 * rank();
  mine[0] = __shfl_sync(kAllLanes, value, 3, 8);
  mine[1] = __shfl_xor_sync(kAllLanes, value, 12, 8);  // of later groups its own, of earlier theirs
  const double got = __shfl_down_sync(kAllLanes, static_cast<double>(value), 30);
  mine[2] = static_cast<int64_t>(got);
  mine[3] = __shfl_up_sync(kAllLanes, value, 31);
  // A mask with holes: of the odd lanes alone.
  mine[4] = mine[5] = -1;
  if (rank() % 2 != 0) {
    mine[4] = __shfl_up_sync(0xAAAAAAAAu, value, 2);
    const bool all = __all_sync(0xAAAAAAAAu, value > 0), any = __any_sync(0xAAAAAAAAu, value > 9);
    mine[5] = 4 * int64_t{__ballot_sync(0xAAAAAAAAu, value > 0)} + 2 * all + any;
  }
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

__global__ void staged_sums(const float* in, float* out) { pipeline<Part::none>(in, out); }

// One product of tiles: in holds a [16, K], b [K, 8] and c [16, 8] in float32 row by row, out
// c + a b.
enum class Tile { f16, bf16, tf32, raw_tf32 };
template <Tile kind>
__device__ void product(const uint16_t* in, float* out) {
  const int g = rank() / 4, t = rank() % 4;
  constexpr bool wide = kind == Tile::tf32 || kind == Tile::raw_tf32;
  const float* start = reinterpret_cast<const float*>(in + (wide ? 2 * 8 : 16) * (16 + 8));
  float d[4];
  for (int i = 0; i < 4; ++i) d[i] = start[(g + 8 * (i >> 1)) * 8 + 2 * t + (i & 1)];
  uint32_t a[4], b[2];
  if constexpr (wide) {
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

// Four 8 x 8 matrices: out [4, 8, 8], as they are or turned.
template <bool Turned>
__device__ void matrices(const uint16_t* in, uint16_t* out) {
  FCT_SHARED(uint16_t, shared, 4 * 64);
  for (int i = rank(); i < 4 * 64; i += 32) shared[i] = in[i];
  __syncthreads();
  uint32_t got[4];
  load_matrices<Turned>(got, shared + 8 * rank());
  for (int m = 0; m < 4; ++m)
    for (int i = 0; i < 2; ++i)
      out[64 * m + 8 * (rank() / 4) + 2 * (rank() % 4) + i] =
          static_cast<uint16_t>(got[m] >> (16 * i));
}
__global__ void keep_matrices(const uint16_t* in, uint16_t* out) { matrices<false>(in, out); }
__global__ void turn_matrices(const uint16_t* in, uint16_t* out) { matrices<true>(in, out); }

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

[[maybe_unused]] const bool kKnown = add({
    SAMPLE(rotate),        SAMPLE(rotate_twice),  SAMPLE(rotate_in_warp), SAMPLE(rotate_in_global),
    SAMPLE(coordinates),   SAMPLE(turns),         SAMPLE(sums),           SAMPLE(shuffles),
    SAMPLE(wide_shuffles), SAMPLE(atomics),       SAMPLE(copies),         SAMPLE(staged_sums),
    SAMPLE(product_f16),   SAMPLE(product_bf16),  SAMPLE(product_tf32),   SAMPLE(product_raw_tf32),
    SAMPLE(keep_matrices), SAMPLE(turn_matrices), SAMPLE(fast_math),
});

}  // namespace
}  // namespace samples
