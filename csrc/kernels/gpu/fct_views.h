// CUDA kernel of fct_views: one thread a pixel, each output element written once.
// No torch in here; compiled by nvcc without contraction, so that it equals the CPU's bits.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "../affine.h"

namespace fctfast::gpu {

constexpr int kMaxChannels = 16;  // mean and std travel as kernel arguments
constexpr int kThreads = 256;

struct ViewsArgs {
  const uint8_t* images;
  int64_t batch, draws;
  int32_t channels, height, width;
  int64_t stride_n, stride_c, stride_y, stride_x;
  const NearestCoefficients* nearest;    // [draws][batch] on the device, or null
  const BilinearCoefficients* bilinear;  // [draws][batch] on the device, or null
  float mean[kMaxChannels], std[kMaxChannels];
  bool channels_last, originals;
  int64_t blocks_per_view;
};

template <typename T>
__device__ __forceinline__ T narrow(float v);
template <>
__device__ __forceinline__ float narrow<float>(float v) {
  return v;
}
template <>
__device__ __forceinline__ __half narrow<__half>(float v) {
  return __float2half_rn(v);
}
template <>
__device__ __forceinline__ __nv_bfloat16 narrow<__nv_bfloat16>(float v) {
  return __float2bfloat16_rn(v);
}

__device__ __forceinline__ float normalised(uint8_t byte, float mean, float std) {
  return __fdiv_rn(__fsub_rn(__fdiv_rn(static_cast<float>(byte), 255.0f), mean), std);
}

// The four bilinear taps as on the CPU: 24 bits of the 32.32 fraction, fill outside.
struct Taps {
  int64_t x, y;
  float weight[4];
};

__device__ __forceinline__ Taps bilinear_taps(const BilinearCoefficients& k, int64_t x, int64_t y) {
  const int64_t px = k.x0 + k.xy * y + k.xx * x;
  const int64_t py = k.y0 + k.yy * y + k.yx * x;
  const float fx = static_cast<float>(static_cast<uint32_t>(px) >> 8) * 0x1p-24f;
  const float fy = static_cast<float>(static_cast<uint32_t>(py) >> 8) * 0x1p-24f;
  const float gx = __fsub_rn(1.0f, fx), gy = __fsub_rn(1.0f, fy);
  return {px >> 32,
          py >> 32,
          {__fmul_rn(gx, gy), __fmul_rn(fx, gy), __fmul_rn(gx, fy), __fmul_rn(fx, fy)}};
}

template <typename T, bool Bilinear>
__global__ void __launch_bounds__(kThreads) fct_views_kernel(const ViewsArgs a, T* out) {
  // Views are folded into grid.x: grid.y and grid.z end at 65,535.
  const int64_t view = static_cast<int64_t>(blockIdx.x) / a.blocks_per_view;
  const int64_t block = static_cast<int64_t>(blockIdx.x) % a.blocks_per_view;
  const int64_t pixel = block * kThreads + threadIdx.x;
  const int64_t plane = static_cast<int64_t>(a.height) * a.width;
  if (pixel >= plane) return;
  const int32_t y = static_cast<int32_t>(pixel / a.width);
  const int32_t x = static_cast<int32_t>(pixel % a.width);
  const int64_t sample = view % a.batch;
  const int64_t draw = view / a.batch - (a.originals ? 1 : 0);  // -1: the original
  const uint8_t* image = a.images + sample * a.stride_n;
  const int64_t step = a.channels_last ? 1 : plane;
  T* to = out + view * plane * a.channels + (a.channels_last ? pixel * a.channels : pixel);

  if (draw < 0 || !Bilinear) {
    Source s = {x, y, true};
    if (draw >= 0) s = nearest_source(a.nearest[draw * a.batch + sample], x, y, a.height, a.width);
    const uint8_t* from = image + s.y * a.stride_y + s.x * a.stride_x;
    for (int32_t c = 0; c < a.channels; ++c) {
      const uint8_t byte = s.valid ? from[c * a.stride_c] : uint8_t{0};
      to[c * step] = narrow<T>(normalised(byte, a.mean[c], a.std[c]));
    }
    return;
  }
  const Taps taps = bilinear_taps(a.bilinear[draw * a.batch + sample], x, y);
  for (int32_t c = 0; c < a.channels; ++c) {
    float value = 0.0f;
    for (int t = 0; t < 4; ++t) {
      const int64_t tx = taps.x + (t & 1), ty = taps.y + (t >> 1);
      const bool inside = tx >= 0 && tx < a.width && ty >= 0 && ty < a.height;
      const uint8_t byte =
          inside ? image[ty * a.stride_y + tx * a.stride_x + c * a.stride_c] : uint8_t{0};
      value = __fadd_rn(value, __fmul_rn(taps.weight[t], normalised(byte, a.mean[c], a.std[c])));
    }
    to[c * step] = narrow<T>(value);
  }
}

// Returns the launch's own error; the caller reports it.
template <typename T>
cudaError_t launch_fct_views(ViewsArgs a, T* out, cudaStream_t stream) {
  const int64_t plane = static_cast<int64_t>(a.height) * a.width;
  const int64_t views = (a.draws + (a.originals ? 1 : 0)) * a.batch;
  a.blocks_per_view = (plane + kThreads - 1) / kThreads;
  const int64_t blocks = a.blocks_per_view * views;
  if (blocks == 0) return cudaSuccess;
  if (blocks > INT32_MAX) return cudaErrorInvalidConfiguration;
  const unsigned grid = static_cast<unsigned>(blocks);
  if (a.bilinear != nullptr) {
    fct_views_kernel<T, true><<<grid, kThreads, 0, stream>>>(a, out);
  } else {
    fct_views_kernel<T, false><<<grid, kThreads, 0, stream>>>(a, out);
  }
  return cudaGetLastError();
}

}  // namespace fctfast::gpu
