// archs: 80 86 90 100 120
// expect: cp\.async\.cg\.shared\.global
// expect: cp\.async\.commit_group
// expect: cp\.async\.wait_group 1
// expect: mma\.sync\.aligned\.m16n8k16\.row\.col\.f32\.f16\.f16\.f32
// expect: mma\.sync\.aligned\.m16n8k16\.row\.col\.f32\.bf16\.bf16\.f32
// expect: mma\.sync\.aligned\.m16n8k8\.row\.col\.f32\.tf32\.tf32\.f32
// expect: cvt\.rna\.tf32\.f32
#include "../../kernels/gpu/ptx.h"

namespace fctfast::gpu {

__global__ void probe_copies(const float* in, float* out) {
  FCT_SHARED(float, tile, 128);
  copy_async_16(tile + 4 * threadIdx.x, in + 4 * threadIdx.x, 12);
  commit_copies();
  wait_for_copies<1>();
  __syncthreads();
  out[threadIdx.x] = tile[127 - threadIdx.x];
}

__global__ void probe_products(const float* in, float* out) {
  float d[4] = {};
  uint32_t a[4], b[2];
  for (int i = 0; i < 4; ++i) a[i] = to_tf32(in[threadIdx.x + i]);
  for (int i = 0; i < 2; ++i) b[i] = to_tf32(in[threadIdx.x + 4 + i]);
  mma_tf32(d, a, b);
  mma_f16(d, a, b);
  mma_bf16(d, a, b);
  for (int i = 0; i < 4; ++i) out[4 * threadIdx.x + i] = d[i];
}

}  // namespace fctfast::gpu
