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

// Lanes [begin, end) of v, zero elsewhere; a NaN in a lane that is dropped stays out.
template <typename T>
struct LaneMask {
  using Bits = std::conditional_t<sizeof(Accumulator<T>) == 8, int64_t, int32_t>;
  typedef Bits Integers __attribute__((vector_size(sizeof(Vector<T>))));
  Integers keep;

  LaneMask(int64_t begin, int64_t end) {
    for (int64_t i = 0; i < 16; ++i) keep[i] = i >= begin && i < end ? Bits{-1} : Bits{0};
  }

  Vector<T> operator()(Vector<T> v) const {
    Integers bits;
    __builtin_memcpy(&bits, &v, sizeof bits);
    bits &= keep;
    __builtin_memcpy(&v, &bits, sizeof v);
    return v;
  }
};

// Lane i: u[i / 2] + u[i / 2 + 8] for even i, the same of v for odd i.
template <typename V>
inline V fold_pair(const V& u, const V& v) {
  V out;
  for (int i = 0; i < 8; ++i) {
    out[2 * i] = u[i] + u[i + 8];
    out[2 * i + 1] = v[i] + v[i + 8];
  }
  return out;
}

// Lane c: the total of rows[c], by the same tree as Lanes::total, sixteen at a time.
template <typename V>
inline V totals(V (&rows)[16]) {
  for (int half = 8; half > 0; half /= 2)
    for (int r = 0; r < half; ++r) rows[r] = fold_pair(rows[r], rows[r + half]);
  return rows[0];
}

}  // namespace fctfast
