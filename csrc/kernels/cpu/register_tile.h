// A block of a matrix product in registers, and the exponential of its numbers. Wide vectors of the
// instruction set this is compiled for; unlike lanes.h no bits are promised across machines.
#pragma once

#include <cstdint>

#include "../args.h"
#include "register.h"

namespace fctfast::cpu {

constexpr int kLanes = Register<float>::kCount;
constexpr int kRows = kRegisterBytes == 64 ? 8 : 4;  // AVX-512 has twice the registers
constexpr int kVectors = 2, kColumns = kVectors * kLanes;
constexpr int64_t kPanel = kSupConPanel;

using V = Register<float>::Vector;
using I = Register<int32_t>::Vector;

inline V load(const float* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
inline I load(const int32_t* p) {
  I v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
inline void store(float* p, const V& v) { __builtin_memcpy(p, &v, sizeof v); }
inline V broadcast(float x) { return x - V{}; }
inline V where(I mask, V v) { return (V)(mask & (I)v); }

// 2^x for -126 <= x <= 127; the polynomial is within 2e-9 of 2^f on [-.5, .5].
inline V exp2(V x) {
  const V magic = broadcast(0x1.8p23f);
  const V shifted = x + magic;
  const V f = x - (shifted - magic);
  V p = broadcast(1.53458116e-4f);
  p = p * f + 1.33999312e-3f;
  p = p * f + 9.61848896e-3f;
  p = p * f + 5.55032878e-2f;
  p = p * f + 2.40226469e-1f;
  p = p * f + 6.93147206e-1f;
  p = p * f + 1.0f;
  return (V)((I)p + ((I)shifted << 23));
}

// The same for x <= 0 of any size: what underflows is as good as 0, and what rounding put above 0
// is 1.
inline V exp2_below(V x) {
  const V least = broadcast(-126.0f), most = V{};
  x = x > least ? x : least;
  return exp2(x < most ? x : most);
}

// acc[r] += sum over k of a[r * kRowStep + k * step] * b[k * kPanel ...], in registers.
template <int64_t kRowStep>
__attribute__((always_inline)) inline void multiply(const float* a, int64_t step, const float* b,
                                                    int64_t count, V (&acc)[kRows][kVectors]) {
  for (int64_t k = 0; k < count; ++k, a += step, b += kPanel) {
    V columns[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) columns[v] = load(b + v * kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const V row = broadcast(a[r * kRowStep]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc[r][v] += row * columns[v];
    }
  }
}

}  // namespace fctfast::cpu
