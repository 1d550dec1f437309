// Four taps of a bilinear sample, from 32.32 fixed-point positions.
#pragma once

#include <cstdint>

#include "../affine.h"

namespace fctfast {

template <typename Acc>
struct Taps {
  int32_t index[4];  // into the flattened plane; `outside` where the tap leaves it
  Acc weight[4];
};

template <typename Acc>
inline Taps<Acc> bilinear_taps(const BilinearCoefficients& k, int64_t x, int64_t y, int64_t height,
                               int64_t width, int32_t outside) {
  const int64_t px = k.x0 + k.xy * y + k.xx * x;
  const int64_t py = k.y0 + k.yy * y + k.yx * x;
  const int64_t x0 = px >> 32, y0 = py >> 32;
  // In float32 24 bits of the fraction: exact, and so is one minus it.
  constexpr int kDropped = sizeof(Acc) == 8 ? 0 : 8;
  constexpr Acc kUnit = static_cast<Acc>(sizeof(Acc) == 8 ? 0x1p-32 : 0x1p-24);
  const Acc fx = static_cast<Acc>(static_cast<uint32_t>(px) >> kDropped) * kUnit;
  const Acc fy = static_cast<Acc>(static_cast<uint32_t>(py) >> kDropped) * kUnit;
  Taps<Acc> taps;
  for (int t = 0; t < 4; ++t) {
    const int64_t tx = x0 + (t & 1), ty = y0 + (t >> 1);
    const bool inside = tx >= 0 && tx < width && ty >= 0 && ty < height;
    taps.index[t] = inside ? static_cast<int32_t>(ty * width + tx) : outside;
    taps.weight[t] = ((t & 1) ? fx : 1 - fx) * ((t >> 1) ? fy : 1 - fy);
  }
  return taps;
}

}  // namespace fctfast
