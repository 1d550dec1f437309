// Sixteen numbers side by side, in as many registers as they fill: the same additions in the same
// order on every instruction set, so the result does not depend on the machine's vector width
// (built without contraction).
//
// The halves are members, down to what one register holds. A single vector type of sixteen would
// say the same, and GCC keeps one that is wider than a register in memory.
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "../scalar_types.h"
#include "register.h"

namespace fctfast::cpu {

// `widen` of as many 16-bit numbers as a register holds floats.
template <typename T>
inline Register<float>::Vector load_widened(const T* p) {
  using Floats = Register<float>::Vector;
  using Bits = Register<uint32_t>::Vector;
  Bits bits;
#if defined(__AVX512F__)
  bits = (Bits)_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
#elif defined(__AVX2__)
  bits = (Bits)_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#else
  typedef uint16_t Narrow __attribute__((vector_size(kRegisterBytes / 2)));
  Narrow narrow;
  __builtin_memcpy(&narrow, p, sizeof narrow);
  bits = __builtin_convertvector(narrow, Bits);
#endif
  if constexpr (std::is_same_v<T, BFloat16>) {
    return (Floats)(bits << 16);
  } else {
    const Bits finite = (Bits)((Floats)((bits & 0x7FFFu) << 13) * 0x1p112f);
    const Bits special = (Bits)((bits & 0x7C00u) == 0x7C00u) & 0x7F800000u;
    return (Floats)(((bits & 0x8000u) << 16) | finite | special);
  }
}

template <typename Acc, int N = 16, bool = (N > Register<Acc>::kCount)>
struct Lanes {
  using Part = Lanes<Acc, N / 2>;
  Part low, high;

  template <typename T>
  static Lanes load(const T* p) {
    return {Part::load(p), Part::load(p + N / 2)};
  }
  void store(Acc* p) const {
    low.store(p);
    high.store(p + N / 2);
  }
  Lanes operator+(const Lanes& o) const { return {low + o.low, high + o.high}; }
  Lanes operator-(const Lanes& o) const { return {low - o.low, high - o.high}; }
  Lanes operator*(const Lanes& o) const { return {low * o.low, high * o.high}; }
  Lanes operator/(Acc x) const { return {low / x, high / x}; }
  Lanes& operator+=(const Lanes& o) { return *this = *this + o; }

  // Bits of the mask: all or none of a lane's.
  template <typename Mask>
  Lanes operator&(const Mask& mask) const {
    return {low & mask.low, high & mask.high};
  }
};

template <typename Acc, int N>
struct Lanes<Acc, N, false> {
  static_assert(N == Register<Acc>::kCount);
  using Value = typename Register<Acc>::Vector;
  Value value;

  template <typename T>
  static Lanes load(const T* p) {
    Lanes made;
    if constexpr (std::is_same_v<T, Acc>) {
      __builtin_memcpy(&made.value, p, sizeof made.value);
    } else {
      made.value = load_widened(p);
    }
    return made;
  }
  void store(Acc* p) const { __builtin_memcpy(p, &value, sizeof value); }
  Lanes operator+(const Lanes& o) const { return {value + o.value}; }
  Lanes operator-(const Lanes& o) const { return {value - o.value}; }
  Lanes operator*(const Lanes& o) const { return {value * o.value}; }
  Lanes operator/(Acc x) const { return {value / x}; }
  Lanes& operator+=(const Lanes& o) { return *this = *this + o; }

  template <typename Mask>
  Lanes operator&(const Mask& mask) const {
    return {(Value)((decltype(mask.value))value & mask.value)};
  }
};

template <typename T>
using Vector = Lanes<Accumulator<T>>;

template <typename T>
inline Vector<T> load_lanes(const T* p) {
  return Vector<T>::load(p);
}

// The first `count` lanes; zero beyond.
template <typename T>
inline Vector<T> load_lanes(const T* p, int64_t count) {
  if (count == 16) return load_lanes(p);
  Accumulator<T> wide[16] = {};
  for (int64_t i = 0; i < count; ++i) wide[i] = widen(p[i]);
  return Vector<T>::load(wide);
}

template <typename Acc>
inline void store_lanes(Acc* p, const Lanes<Acc>& v, int64_t count) {
  if (count == 16) return v.store(p);
  Acc all[16];
  v.store(all);
  for (int64_t i = 0; i < count; ++i) p[i] = all[i];
}

// Always the same tree: 8 + 8, 4 + 4, 2 + 2, 1 + 1.
template <typename Acc>
inline Acc total(const Lanes<Acc>& v) {
  Acc part[16];
  v.store(part);
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) part[i] += part[i + half];
  return part[0];
}

// `v & LaneMask(begin, end).bits`: lanes [begin, end) of v, zero elsewhere; a NaN in a lane that is
// dropped stays out.
template <typename T>
struct LaneMask {
  using Bits = std::conditional_t<sizeof(Accumulator<T>) == 8, int64_t, int32_t>;
  Lanes<Bits> bits;

  LaneMask(int64_t begin, int64_t end) {
    Bits keep[16];
    for (int64_t i = 0; i < 16; ++i) keep[i] = i >= begin && i < end ? Bits{-1} : Bits{0};
    bits = Lanes<Bits>::load(keep);
  }
};

// u[0], v[0], u[1], v[1], ...
template <typename Acc, int N>
inline Lanes<Acc, 2 * N, true> interleaved(const Lanes<Acc, N, true>& u,
                                           const Lanes<Acc, N, true>& v) {
  return {interleaved(u.low, v.low), interleaved(u.high, v.high)};
}
template <typename V, size_t... I>
inline V interleaved(const V& u, const V& v, size_t from, std::index_sequence<I...>) {
  return V{(I % 2 == 0 ? u[from + I / 2] : v[from + I / 2])...};
}
template <typename Acc, int N>
inline Lanes<Acc, 2 * N> interleaved(const Lanes<Acc, N, false>& u, const Lanes<Acc, N, false>& v) {
  constexpr auto all = std::make_index_sequence<N>();
  return {{interleaved(u.value, v.value, 0, all)}, {interleaved(u.value, v.value, N / 2, all)}};
}

// Lane i: u[i / 2] + u[i / 2 + 8] for even i, the same of v for odd i.
template <typename Acc>
inline Lanes<Acc> fold_pair(const Lanes<Acc, 16, true>& u, const Lanes<Acc, 16, true>& v) {
  return interleaved(u.low + u.high, v.low + v.high);
}
template <typename Acc>
inline Lanes<Acc> fold_pair(const Lanes<Acc, 16, false>& u, const Lanes<Acc, 16, false>& v) {
  constexpr auto all = std::make_index_sequence<16>();
  return {interleaved(u.value, v.value, 0, all) + interleaved(u.value, v.value, 8, all)};
}

// Lane c: the total of rows[c], by the same tree, sixteen at a time.
template <typename Acc>
inline Lanes<Acc> totals(Lanes<Acc> (&rows)[16]) {
  for (int half = 8; half > 0; half /= 2)
    for (int r = 0; r < half; ++r) rows[r] = fold_pair(rows[r], rows[r + half]);
  return rows[0];
}

}  // namespace fctfast::cpu
