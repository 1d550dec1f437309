// Kernels that touch memory as they must not: bounds, alignment, what nobody wrote, copies not
// waited for.
#include "../../kernels/gpu/ptx.h"
#include "../../kernels/gpu/reduce.h"
#include "samples.h"
#include "with_parts.h"

namespace samples {
namespace {

using namespace fctfast::gpu;

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

__global__ void too_much_static_shared(const float* in, float* out) {
  FCT_SHARED(float, large, 16384);
  large[rank()] = in[rank()];
  out[rank()] = large[rank()];
}

[[maybe_unused]] const bool kKnown = add({
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
    SAMPLE(too_much_static_shared),
});

}  // namespace
}  // namespace samples
