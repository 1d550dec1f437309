// The four taps of a bilinear sample as positions in a flattened plane.
#pragma once

#include <cstdint>

#include "../bilinear.h"

namespace fctfast {

template <typename Acc>
struct Taps {
  int32_t index[4];  // into the flattened plane; `outside` where the tap leaves it
  Acc weight[4];
};

template <typename Acc>
inline Taps<Acc> bilinear_taps(const BilinearCoefficients& k, int64_t x, int64_t y, int64_t height,
                               int64_t width, int32_t outside) {
  const BilinearPoint<Acc> point = bilinear_point<Acc>(k, x, y);
  Taps<Acc> taps;
  for (int t = 0; t < 4; ++t) {
    const int64_t tx = point.x + (t & 1), ty = point.y + (t >> 1);
    const bool inside = tx >= 0 && tx < width && ty >= 0 && ty < height;
    taps.index[t] = inside ? static_cast<int32_t>(ty * width + tx) : outside;
    taps.weight[t] = bilinear_weight(point, t);
  }
  return taps;
}

}  // namespace fctfast
