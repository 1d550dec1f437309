// 16-bit floating types as plain bits, with their conversions (round to nearest even).
#pragma once

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

#include <cstdint>
#include <cstring>

#include "portable.h"

namespace fctfast {

enum class ScalarKind : int32_t { f32, f64, f16, bf16 };

struct Half {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

FCT_HD float bits_to_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

FCT_HD uint32_t float_to_bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

FCT_HD float widen(float v) { return v; }
FCT_HD double widen(double v) { return v; }
FCT_HD float widen(BFloat16 v) { return bits_to_float(uint32_t{v.bits} << 16); }
FCT_HD float widen(Half v) {
#if defined(__CUDA_ARCH__)
  return __half2float(__ushort_as_half(v.bits));
#else
  const uint32_t sign = uint32_t{v.bits & 0x8000u} << 16;
  const uint32_t rest = uint32_t{v.bits & 0x7FFFu} << 13;
  // The product moves the exponent bias and makes subnormals normal; infinity and NaN keep 0xFF.
  const uint32_t scaled = float_to_bits(bits_to_float(rest) * 0x1p112f);
  return bits_to_float(sign | scaled | ((v.bits & 0x7C00u) == 0x7C00u ? 0x7F800000u : 0u));
#endif
}

// The GPU's own instructions round alike; of a NaN they keep other bits.
template <typename T>
FCT_HD T narrow(float v);
template <typename T>
FCT_HD T narrow(double v);

template <>
FCT_HD float narrow<float>(float v) {
  return v;
}
template <>
FCT_HD double narrow<double>(double v) {
  return v;
}
template <>
FCT_HD BFloat16 narrow<BFloat16>(float v) {
#if defined(__CUDA_ARCH__)
  return {__bfloat16_as_ushort(__float2bfloat16_rn(v))};
#else
  const uint32_t bits = float_to_bits(v);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return {0x7FC0u};
  return {static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16)};
#endif
}
template <>
FCT_HD Half narrow<Half>(float v) {
#if defined(__CUDA_ARCH__)
  return {__half_as_ushort(__float2half_rn(v))};
#else
  const uint32_t bits = float_to_bits(v);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  constexpr uint32_t kLeast = 0x38800000u;  // the smallest normal half
  // Subnormal halves: the addition rounds to even. From the smallest normal one on it gives 0x400.
  const float rounded = bits_to_float(magnitude < kLeast ? magnitude : kLeast) + 0.5f;
  const uint32_t odd = (magnitude >> 13) & 1u;
  const uint32_t beyond = magnitude < kLeast ? 0u : (magnitude - kLeast + 0xFFFu + odd) >> 13;
  uint32_t half = float_to_bits(rounded) - 0x3F000000u + beyond;
  half = magnitude >= 0x47800000u ? 0x7C00u : half;
  half = magnitude > 0x7F800000u ? 0x7E00u : half;
  return {static_cast<uint16_t>(sign | half)};
#endif
}

// What a sum of T is held in.
template <typename T>
struct AccumulatorOf {
  using type = float;
};
template <>
struct AccumulatorOf<double> {
  using type = double;
};
template <typename T>
using Accumulator = typename AccumulatorOf<T>::type;

}  // namespace fctfast
