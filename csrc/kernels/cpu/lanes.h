// Sixteen partial sums in a fixed order: the same additions on every instruction set, so the
// result does not depend on the machine's vector width (built without contraction).
#pragma once

#include <cstdint>
#include <type_traits>

#include "../scalar_types.h"

namespace fctfast {

template <typename Acc>
struct Lanes {
  static constexpr int64_t kCount = 16;
  typedef Acc Vector __attribute__((vector_size(kCount * sizeof(Acc))));
  Vector value = {};

  // Always the same tree: 8 + 8, 4 + 4, 2 + 2, 1 + 1.
  Acc total() const {
    Acc part[kCount];
    for (int64_t i = 0; i < kCount; ++i) part[i] = value[i];
    for (int64_t half = kCount / 2; half > 0; half /= 2)
      for (int64_t i = 0; i < half; ++i) part[i] += part[i + half];
    return part[0];
  }
};

template <typename T>
using Vector = typename Lanes<Accumulator<T>>::Vector;

template <typename T>
inline Vector<T> load_lanes(const T* p) {
  Vector<T> v;
  if constexpr (std::is_same_v<T, Accumulator<T>>) {
    __builtin_memcpy(&v, p, sizeof v);
  } else {
    Accumulator<T> wide[16];
    for (int i = 0; i < 16; ++i) wide[i] = widen(p[i]);
    __builtin_memcpy(&v, wide, sizeof v);
  }
  return v;
}

// The first `count` lanes; zero beyond.
template <typename T>
inline Vector<T> load_lanes(const T* p, int64_t count) {
  Accumulator<T> wide[16] = {};
  for (int64_t i = 0; i < count; ++i) wide[i] = widen(p[i]);
  Vector<T> v;
  __builtin_memcpy(&v, wide, sizeof v);
  return v;
}

template <typename T>
inline void store_lanes(T* p, const Vector<T>& v, int64_t count = 16) {
  for (int64_t i = 0; i < count; ++i) p[i] = narrow<T>(v[i]);
}

}  // namespace fctfast
