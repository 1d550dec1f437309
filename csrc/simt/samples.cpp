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

// The same through global memory: out is [2, threads].
template <bool Barrier>
__device__ void rotate_by_global(const float* in, float* out) {
  out[rank()] = in[rank()];
  if (Barrier) __syncthreads();
  out[blockDim.x + rank()] = out[(rank() + 1) % blockDim.x];
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

// Only the first block writes what all blocks read.
__global__ void reads_what_another_block_wrote(const float* in, float* out) {
  FCT_DYNAMIC_SHARED(bytes);
  FCT_SHARED(float, array, 32);
  float* dynamic = reinterpret_cast<float*>(bytes);
  if (blockIdx.x == 0) array[rank()] = dynamic[rank()] = in[rank()];
  __syncthreads();
  out[2 * global_rank()] = array[rank()];
  out[2 * global_rank() + 1] = dynamic[rank()];
}

__global__ void reads_its_output(const float* in, float* out) { out[rank()] += in[rank()]; }

__global__ void null_pointer(const float* in, float* out) {
  const float* none = rank() < 0 ? in : nullptr;
  out[rank()] = none[rank()];
}

__global__ void atomic_out_of_bounds(const int* in, int* out) {
  out[rank()] = in[rank()];
  atomicAdd(out + blockDim.x, 1);
}

__global__ void atomic_on_its_input(const int* in, int* out) {
  out[rank()] = atomicMax(const_cast<int*>(in), 3);
}

__global__ void atomic_on_nothing(const int* in, int* out) { atomicAdd(out + rank(), in[rank()]); }

__global__ void overflows(const int* in, int* out) { out[rank()] = in[rank()] * 3; }

__global__ void local_array_out_of_bounds(const int* in, int* out) {
  int mine[4] = {1, 2, 3, 4};
  mine[in[rank()]] = 5;
  out[rank()] = mine[rank() % 4];
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

__global__ void pipeline_without_wait(const float* in, float* out) {
  pipeline<Part::wait>(in, out);
}
__global__ void pipeline_without_last_wait(const float* in, float* out) {
  pipeline<Part::last_wait>(in, out);
}
__global__ void pipeline_without_barrier(const float* in, float* out) {
  pipeline<Part::barrier_after_wait>(in, out);
}
__global__ void pipeline_without_barrier_before_refill(const float* in, float* out) {
  pipeline<Part::barrier_before_refill>(in, out);
}
__global__ void pipeline_without_commit(const float* in, float* out) {
  pipeline<Part::commit>(in, out);
}

// One copy of 16 bytes, `from` and `to` floats away from where it should be.
__device__ inline void copy_off_by(const float* in, float* out, int from, int to) {
  FCT_SHARED(float, shared, 128);
  copy_async_16(shared + 4 * rank() + to, in + 4 * rank() + from);
  commit_copies();
  wait_for_copies<0>();
  out[rank()] = 0;
}
__global__ void copy_from_misaligned(const float* in, float* out) { copy_off_by(in, out, 1, 0); }
__global__ void copy_to_misaligned(const float* in, float* out) { copy_off_by(in, out, 0, 2); }
__global__ void copy_from_out_of_bounds(const float* in, float* out) { copy_off_by(in, out, 4, 0); }
__global__ void copy_to_out_of_bounds(const float* in, float* out) { copy_off_by(in, out, 0, 4); }

__global__ void copy_to_global(const float* in, float* out) {
  copy_async_16(out + 4 * rank(), in + 4 * rank());
  commit_copies();
  wait_for_copies<0>();
}

template <typename Row>
__device__ void load_matrices_at(const uint16_t* in, uint16_t* out, const Row& row) {
  FCT_SHARED(uint16_t, shared, 5 * 64);
  for (int i = rank(); i < 5 * 64; i += 32) shared[i] = in[i % 256];
  __syncthreads();
  uint32_t got[4];
  load_matrices<false>(got, row(shared));
  out[rank()] = static_cast<uint16_t>(got[0]);
}
__global__ void matrices_misaligned(const uint16_t* in, uint16_t* out) {
  load_matrices_at(in, out, [](const uint16_t* shared) { return shared + 8 * rank() + 4; });
}
__global__ void matrices_from_global(const uint16_t* in, uint16_t* out) {
  load_matrices_at(in, out, [&](const uint16_t*) { return in + 8 * rank(); });
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
  simt::Dim3 grid, block;
  size_t shared;

  template <typename In, typename Out>
  void operator()(void (*kernel)(const In*, Out*)) const {
    simt::launch(kernel, grid, block, shared, static_cast<const In*>(in), static_cast<Out*>(out));
  }
};

#define SAMPLE(name) {#name, [](const Launch& launch) { launch(&name); }}
const std::map<std::string, void (*)(const Launch&)> kSamples = {
    SAMPLE(rotate),
    SAMPLE(rotate_twice),
    SAMPLE(rotate_in_warp),
    SAMPLE(rotate_in_global),
    SAMPLE(coordinates),
    SAMPLE(turns),
    SAMPLE(sums),
    SAMPLE(shuffles),
    SAMPLE(wide_shuffles),
    SAMPLE(atomics),
    SAMPLE(copies),
    SAMPLE(staged_sums),
    SAMPLE(product_f16),
    SAMPLE(product_bf16),
    SAMPLE(product_tf32),
    SAMPLE(product_raw_tf32),
    SAMPLE(keep_matrices),
    SAMPLE(turn_matrices),
    SAMPLE(fast_math),
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
    SAMPLE(tile_off_by_one),
    SAMPLE(shared_write_out_of_bounds),
    SAMPLE(global_read_out_of_bounds),
    SAMPLE(global_write_out_of_bounds),
    SAMPLE(writes_its_input),
    SAMPLE(misaligned),
    SAMPLE(uninitialised_shared),
    SAMPLE(reads_what_another_block_wrote),
    SAMPLE(reads_its_output),
    SAMPLE(null_pointer),
    SAMPLE(atomic_out_of_bounds),
    SAMPLE(atomic_on_its_input),
    SAMPLE(atomic_on_nothing),
    SAMPLE(overflows),
    SAMPLE(local_array_out_of_bounds),
    SAMPLE(leaves_a_hole),
    SAMPLE(missing_wait),
    SAMPLE(never_waits),
    SAMPLE(pipeline_without_wait),
    SAMPLE(pipeline_without_last_wait),
    SAMPLE(pipeline_without_barrier),
    SAMPLE(pipeline_without_barrier_before_refill),
    SAMPLE(pipeline_without_commit),
    SAMPLE(copy_from_misaligned),
    SAMPLE(copy_to_misaligned),
    SAMPLE(copy_from_out_of_bounds),
    SAMPLE(copy_to_out_of_bounds),
    SAMPLE(copy_to_global),
    SAMPLE(matrices_misaligned),
    SAMPLE(matrices_from_global),
    SAMPLE(divergent_barrier),
    SAMPLE(exit_before_barrier),
    SAMPLE(barrier_against_warp),
    SAMPLE(too_much_static_shared),
};
#undef SAMPLE

}  // namespace
}  // namespace samples

void simt::run_sample(const std::string& name, const void* in, void* out, Dim3 grid, Dim3 block,
                      size_t shared) {
  const auto found = samples::kSamples.find(name);
  if (found == samples::kSamples.end()) throw Error("no sample kernel is called " + name);
  found->second({in, out, grid, block, shared});
}
