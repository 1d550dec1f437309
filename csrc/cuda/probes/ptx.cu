// archs: 75 80 86 90 100 120
// expect: ldmatrix\.sync\.aligned\.m8n8\.x4\.shared
// expect: ldmatrix\.sync\.aligned\.m8n8\.x4\.trans\.shared
// Compiled by static_checks.py alone, so that ptxas has read every instruction of ptx.h before a
// kernel uses it.
#include "../../kernels/gpu/ptx.h"

namespace fctfast::gpu {

__global__ void probe_matrices(uint32_t* out) {
  FCT_SHARED(uint32_t, tile, 128);
  uint32_t a[4], b[4];
  load_matrices<false>(a, tile + 4 * threadIdx.x);
  load_matrices<true>(b, tile + 4 * threadIdx.x);
  for (int i = 0; i < 4; ++i) out[4 * threadIdx.x + i] = a[i] ^ b[i];
}

}  // namespace fctfast::gpu
