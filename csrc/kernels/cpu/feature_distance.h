// Squared L2 distance between a sample's pooled features and each of its views', and its gradient.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels.h"
#include "lanes.h"

namespace fctfast::cpu {

// Sums of up to sixteen channels of `pixels` values each; nothing at or behind `end` is read.
template <typename T>
inline Vector<T> pool_group(const T* p, int64_t channels, int64_t pixels, const T* end) {
  Vector<T> sums[16] = {};
  const int64_t tail = pixels % 16;
  // The tail is loaded with the values before it (or, in small maps, behind it), which the mask
  // drops: a loop over single values would cost more than all full loads.
  const bool back = pixels >= 16;
  const auto mask = LaneMask<T>(back ? 16 - tail : 0, back ? 16 : tail).bits;
  for (int64_t c = 0; c < channels; ++c, p += pixels) {
    Vector<T> sum = {};
    for (int64_t i = 0; i + 16 <= pixels; i += 16) sum += load_lanes(p + i);
    if (tail > 0 && back) sum += load_lanes(p + pixels - 16) & mask;
    if (!back) sum += p + 16 <= end ? load_lanes(p) & mask : load_lanes(p, pixels);
    sums[c] = sum;
  }
  return totals(sums);
}

// One row's global average, in the accumulator type.
template <typename T>
inline void pool_row(const FeatureDistanceArgs& a, int64_t row, Accumulator<T>* pooled) {
  using Acc = Accumulator<T>;
  const T* p = static_cast<const T*>(a.features) + row * a.width * a.pixels;
  const Acc count = static_cast<Acc>(a.pixels);
  if (a.pixels == 1) {
    for (int64_t c = 0; c < a.width; ++c) pooled[c] = widen(p[c]);
    return;
  }
  if (a.pixels_last) {
    const T* end = static_cast<const T*>(a.features) + (1 + a.draws) * a.batch * a.width * a.pixels;
    for (int64_t c = 0; c < a.width; c += 16) {
      const int64_t n = a.width - c < 16 ? a.width - c : 16;
      store_lanes(pooled + c, pool_group<T>(p + c * a.pixels, n, a.pixels, end) / count, n);
    }
    return;
  }
  for (int64_t c = 0; c < a.width; c += 16) {
    const int64_t n = a.width - c < 16 ? a.width - c : 16;
    Vector<T> sum = {};
    for (int64_t i = 0; i < a.pixels; ++i) sum += load_lanes(p + i * a.width + c, n);
    store_lanes(pooled + c, sum / count, n);
  }
}

// Rows that need no pooling and no widening are read where they lie.
template <typename T>
inline const Accumulator<T>* pooled_row(const FeatureDistanceArgs& a, int64_t row,
                                        std::vector<Accumulator<T>>& buffer) {
  if constexpr (std::is_same_v<T, Accumulator<T>>) {
    if (a.pixels == 1) return static_cast<const T*>(a.features) + row * a.width;
  }
  pool_row<T>(a, row, buffer.data());
  return buffer.data();
}

template <typename T>
void feature_distance(const FeatureDistanceArgs& a, int64_t begin, int64_t end) {
  using Acc = Accumulator<T>;
  std::vector<Acc> first(static_cast<size_t>(a.width)), second(static_cast<size_t>(a.width));
  Acc* distance = static_cast<Acc*>(a.distance);
  for (int64_t sample = begin; sample < end; ++sample) {
    const Acc* u = pooled_row<T>(a, sample, first);
    for (int64_t draw = 0; draw < a.draws; ++draw) {
      const Acc* v = pooled_row<T>(a, (draw + 1) * a.batch + sample, second);
      Lanes<Acc> even = {}, odd = {};
      int64_t c = 0;
      for (; c + 32 <= a.width; c += 32) {
        const auto d0 = load_lanes(u + c) - load_lanes(v + c);
        const auto d1 = load_lanes(u + c + 16) - load_lanes(v + c + 16);
        even += d0 * d0;
        odd += d1 * d1;
      }
      for (; c < a.width; c += 16) {
        const int64_t n = a.width - c < 16 ? a.width - c : 16;
        const auto d = load_lanes(u + c, n) - load_lanes(v + c, n);
        even += d * d;
      }
      distance[draw * a.batch + sample] = total(even + odd) * static_cast<Acc>(a.scale);
    }
  }
}

template <typename T>
inline void spread_row(const FeatureDistanceArgs& a, int64_t row, const Accumulator<T>* pooled) {
  T* out = static_cast<T*>(a.grad_features) + row * a.width * a.pixels;
  if (a.pixels_last && a.pixels > 1) {
    for (int64_t c = 0; c < a.width; ++c, out += a.pixels)
      std::fill(out, out + a.pixels, narrow<T>(pooled[c]));
    return;
  }
  for (int64_t i = 0; i < a.pixels; ++i, out += a.width)
    for (int64_t c = 0; c < a.width; ++c) out[c] = narrow<T>(pooled[c]);
}

template <typename T>
void feature_distance_backward(const FeatureDistanceArgs& a, int64_t begin, int64_t end) {
  using Acc = Accumulator<T>;
  const size_t width = static_cast<size_t>(a.width);
  std::vector<Acc> first(width), second(width), own(width), other(width);
  const Acc* grad = static_cast<const Acc*>(a.grad);
  const Acc factor = static_cast<Acc>(2.0 * a.scale / static_cast<double>(a.pixels));
  for (int64_t sample = begin; sample < end; ++sample) {
    const Acc* u = pooled_row<T>(a, sample, first);
    std::fill(own.begin(), own.end(), Acc{0});
    for (int64_t draw = 0; draw < a.draws; ++draw) {
      const int64_t row = (draw + 1) * a.batch + sample;
      const Acc* v = pooled_row<T>(a, row, second);
      const Acc g = grad[draw * a.batch + sample] * factor;
      for (size_t c = 0; c < width; ++c) {
        const Acc pull = g * (u[c] - v[c]);
        own[c] += pull;
        other[c] = -pull;
      }
      spread_row<T>(a, row, other.data());
    }
    spread_row<T>(a, sample, own.data());
  }
}

}  // namespace fctfast::cpu
