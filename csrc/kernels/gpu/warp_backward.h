// The gradient of warp_distance on the GPU. It is gathered as well: a pixel looks up which pixels
// of the warp took from it, so every element is written by one thread, without atomics.
#pragma once

#include "warp_forward.h"

namespace fctfast::gpu {

// The pixel of the warp, before the shift in nearest mode, whose sampling point comes closest to
// the middle of (x, y): the linear system of the map's own coefficients, not the ideal rotation.
struct Middle {
  float x, y;
};

__device__ __forceinline__ Middle solve(float xx, float xy, float yx, float yy, float tx,
                                        float ty) {
  const float inverse = 1.0f / (xx * yy - xy * yx);
  return {(yy * tx - xy * ty) * inverse, (xx * ty - yx * tx) * inverse};
}

__device__ __forceinline__ Middle middle_of(const NearestCoefficients& k, int32_t x, int32_t y) {
  constexpr float kUnit = 0x1p-16f;
  const Middle m = solve(k.xx * kUnit, k.xy * kUnit, k.yx * kUnit, k.yy * kUnit,
                         x + 0.5f - k.x0 * kUnit, y + 0.5f - k.y0 * kUnit);
  return {m.x + k.dx, m.y + k.dy};
}

__device__ __forceinline__ Middle middle_of(const BilinearCoefficients& k, int32_t x, int32_t y) {
  constexpr float kUnit = 0x1p-32f;
  return solve(k.xx * kUnit, k.xy * kUnit, k.yx * kUnit, k.yy * kUnit, x - k.x0 * kUnit,
               y - k.y0 * kUnit);
}

// The pixels that take from another lie within a unit square (nearest) or one of side 2 (bilinear)
// around its middle, turned by any angle: at most .708 or 1.415 away along an axis, and .76 or 1.46
// with what float32 errs at the longest side. That leaves two or three whole numbers an axis.
template <bool Bilinear>
constexpr float kReach = Bilinear ? 1.46f : 0.76f;
template <bool Bilinear>
constexpr int32_t kCandidates = Bilinear ? 3 : 2;

// Gradient of one pixel in up to kChannelTile channels: its own difference, and what the pixels
// that took from it push back.
template <typename T, bool Bilinear>
__device__ __forceinline__ void pixel_gradient(const WarpParams<T>& p, int64_t sample,
                                               int64_t first_channel, int count, int32_t x,
                                               int32_t y) {
  using Acc = Accumulator<T>;
  const int64_t plane_size = static_cast<int64_t>(p.height) * p.width;
  const int64_t offset = (sample * p.channels + first_channel) * plane_size;
  const int64_t pixel = static_cast<int64_t>(y) * p.width + x;
  const T* planes = p.x + offset;
  Acc total[kChannelTile] = {};
  for (int64_t draw = 0; draw < p.draws; ++draw) {
    const int64_t item = draw * p.batch + sample;
    const Acc g = p.grad[item] * p.scale;
    Taker<T, Bilinear> from;
    from.locate(p, item, x, y);
#pragma unroll
    for (int c = 0; c < kChannelTile; ++c) {
      if (c >= count) break;
      const T* plane = planes + c * plane_size;
      total[c] +=
          g * (widen(load(plane + pixel)) - from.value(p, plane, p.fill_of(first_channel + c)));
    }
    Middle middle;
    if constexpr (Bilinear) {
      middle = middle_of(p.bilinear[item], x, y);
    } else {
      middle = middle_of(p.nearest[item], x, y);
    }
    const int32_t left = static_cast<int32_t>(ceilf(middle.x - kReach<Bilinear>));
    const int32_t top = static_cast<int32_t>(ceilf(middle.y - kReach<Bilinear>));
    for (int32_t ty = top; ty < top + kCandidates<Bilinear>; ++ty)
      for (int32_t tx = left; tx < left + kCandidates<Bilinear>; ++tx) {
        if (tx < 0 || tx >= p.width || ty < 0 || ty >= p.height) continue;
        Taker<T, Bilinear> taker;
        taker.locate(p, item, tx, ty);
        if (!taker.takes(p, x, y)) continue;
        const Acc share = taker.share(x, y);
        const int64_t at = static_cast<int64_t>(ty) * p.width + tx;
#pragma unroll
        for (int c = 0; c < kChannelTile; ++c) {
          if (c >= count) break;
          const T* plane = planes + c * plane_size;
          total[c] -=
              share *
              (g * (widen(load(plane + at)) - taker.value(p, plane, p.fill_of(first_channel + c))));
        }
      }
  }
#pragma unroll
  for (int c = 0; c < kChannelTile; ++c)
    if (c < count) store_streaming(p.grad_x + offset + c * plane_size + pixel, narrow<T>(total[c]));
}

template <typename T, bool Bilinear>
__global__ void __launch_bounds__(kThreads, kBlocksOnUnit)
    warp_distance_backward_kernel(const WarpParams<T> p) {
  const int64_t plane_size = static_cast<int64_t>(p.height) * p.width;
  const int64_t tiles = ceil_div(p.channels, kChannelTile), units = p.batch * tiles * plane_size;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t unit = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; unit < units;
       unit += step) {
    const Divided in_plane = divide(unit, p.by_plane),
                  in_sample = divide(in_plane.quotient, p.by_tiles);
    const int32_t pixel = static_cast<int32_t>(in_plane.rest);
    const int64_t sample = in_sample.quotient, channel = in_sample.rest * kChannelTile;
    const int64_t left = p.channels - channel;
    pixel_gradient<T, Bilinear>(p, sample, channel,
                                left < kChannelTile ? static_cast<int>(left) : kChannelTile,
                                pixel % p.width, pixel / p.width);
  }
}

}  // namespace fctfast::gpu
