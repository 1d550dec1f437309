// Squared distance between a map and its rotated + shifted self; the warp is never stored.
#pragma once

#include <algorithm>
#include <vector>

#include "bilinear.h"
#include "kernels.h"
#include "lanes.h"

namespace fctfast::cpu {

// x warped along one output row, in the accumulator type.
template <typename T>
struct RowWarp {
  using Acc = Accumulator<T>;
  const WarpDistanceArgs& a;
  int64_t item;  // draw * batch + sample
  int32_t plane_size;
  std::vector<Taps<Acc>> taps;

  RowWarp(const WarpDistanceArgs& args)
      : a(args),
        item(0),
        plane_size(static_cast<int32_t>(args.height * args.width)),
        taps(static_cast<size_t>(args.width)) {}

  bool is_nearest() const { return a.nearest != nullptr; }

  void prepare(int64_t y) {
    for (int64_t x = 0; x < a.width; ++x) {
      if (is_nearest()) {
        const Source s =
            nearest_source(a.nearest[item], static_cast<int32_t>(x), static_cast<int32_t>(y),
                           static_cast<int32_t>(a.height), static_cast<int32_t>(a.width));
        const int32_t width = static_cast<int32_t>(a.width);
        taps[x].index[0] = s.valid ? s.y * width + s.x : plane_size;
      } else {
        taps[x] = bilinear_taps<Acc>(a.bilinear[item], x, y, a.height, a.width, plane_size);
      }
    }
  }

  Acc at(const T* plane, int64_t x, Acc fill) const {
    const Taps<Acc>& t = taps[x];
    if (is_nearest()) return t.index[0] == plane_size ? fill : widen(plane[t.index[0]]);
    Acc value = 0;
    for (int i = 0; i < 4; ++i)
      value += t.weight[i] * (t.index[i] == plane_size ? fill : widen(plane[t.index[i]]));
    return value;
  }
};

template <typename T>
void warp_distance(const WarpDistanceArgs& a, int64_t begin, int64_t end) {
  using Acc = Accumulator<T>;
  RowWarp<T> warp(a);
  const int64_t plane_size = a.height * a.width;
  for (int64_t item = begin; item < end; ++item) {
    warp.item = item;
    const T* image = static_cast<const T*>(a.x) + (item % a.batch) * a.channels * plane_size;
    Lanes<Acc> sum = {};
    for (int64_t y = 0; y < a.height; ++y) {
      warp.prepare(y);
      for (int64_t c = 0; c < a.channels; ++c) {
        const T* plane = image + c * plane_size;
        const T* row = plane + y * a.width;
        const Acc fill = static_cast<Acc>(a.fill[c]);
        for (int64_t x = 0; x < a.width; x += 16) {
          const int64_t n = std::min<int64_t>(16, a.width - x);
          Acc moved[16] = {};
          for (int64_t j = 0; j < n; ++j) moved[j] = warp.at(plane, x + j, fill);
          const auto d = load_lanes(row + x, n) - Lanes<Acc>::load(moved);
          sum += d * d;
        }
      }
    }
    static_cast<Acc*>(a.distance)[item] = total(sum) * static_cast<Acc>(a.scale);
  }
}

// A plane belongs to one call, which adds to it in a fixed order: deterministic without atomics.
template <typename T>
void warp_distance_backward(const WarpDistanceArgs& a, int64_t begin, int64_t end) {
  using Acc = Accumulator<T>;
  RowWarp<T> warp(a);
  const int64_t plane_size = a.height * a.width;
  std::vector<Acc> total(static_cast<size_t>(plane_size + 1));  // one more takes what has no source
  for (int64_t p = begin; p < end; ++p) {
    const int64_t sample = p / a.channels;
    const T* plane = static_cast<const T*>(a.x) + p * plane_size;
    const Acc fill = static_cast<Acc>(a.fill[p % a.channels]);
    std::fill(total.begin(), total.end(), Acc{0});
    for (int64_t draw = 0; draw < a.draws; ++draw) {
      warp.item = draw * a.batch + sample;
      const Acc g = static_cast<const Acc*>(a.grad)[warp.item] * static_cast<Acc>(2.0 * a.scale);
      for (int64_t y = 0, i = 0; y < a.height; ++y) {
        warp.prepare(y);
        for (int64_t x = 0; x < a.width; ++x, ++i) {
          const Acc pull = g * (widen(plane[i]) - warp.at(plane, x, fill));
          const Taps<Acc>& t = warp.taps[x];
          total[i] += pull;
          if (warp.is_nearest()) {
            total[t.index[0]] -= pull;
          } else {
            for (int k = 0; k < 4; ++k) total[t.index[k]] -= t.weight[k] * pull;
          }
        }
      }
    }
    T* out = static_cast<T*>(a.grad_x) + p * plane_size;
    for (int64_t i = 0; i < plane_size; ++i) out[i] = narrow<T>(total[i]);
  }
}

}  // namespace fctfast::cpu
