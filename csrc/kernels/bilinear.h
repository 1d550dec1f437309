// Where a bilinear sample lies and what its four taps weigh, from 32.32 fixed-point positions.
#pragma once

#include "affine.h"

namespace fctfast {

template <typename Acc>
struct BilinearPoint {
  int32_t x, y;  // of the upper left tap; tap t lies at (x + (t & 1), y + (t >> 1))
  Acc fx, fy;    // how far right and down of it, in [0, 1)
};

template <typename Acc>
FCT_HD BilinearPoint<Acc> bilinear_point(const BilinearCoefficients& k, int64_t x, int64_t y) {
  const int64_t px = k.x0 + k.xy * y + k.xx * x;
  const int64_t py = k.y0 + k.yy * y + k.yx * x;
  // In float32 24 bits of the fraction: exact, and so is one minus it.
  constexpr int kDropped = sizeof(Acc) == 8 ? 0 : 8;
  constexpr Acc kUnit = static_cast<Acc>(sizeof(Acc) == 8 ? 0x1p-32 : 0x1p-24);
  return {static_cast<int32_t>(px >> 32), static_cast<int32_t>(py >> 32),
          static_cast<Acc>(static_cast<uint32_t>(px) >> kDropped) * kUnit,
          static_cast<Acc>(static_cast<uint32_t>(py) >> kDropped) * kUnit};
}

template <typename Acc>
FCT_HD Acc bilinear_weight(const BilinearPoint<Acc>& p, int tap) {
  return ((tap & 1) ? p.fx : 1 - p.fx) * ((tap >> 1) ? p.fy : 1 - p.fy);
}

}  // namespace fctfast
