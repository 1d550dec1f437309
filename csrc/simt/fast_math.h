// CUDA's fast intrinsics: the exact value, off by the setting's share of the documented bound
// (CUDA C++ Programming Guide, "Intrinsic Functions").
#pragma once

#include <cmath>

#include "executor.h"

namespace simt {

// `exact` moved by `ulps` units in the last place of float32, times the setting's share.
inline float off_by_ulps(double exact, double ulps) {
  const float rounded = static_cast<float>(exact);
  if (!std::isfinite(rounded) || rounded == 0) return rounded;
  const double unit = static_cast<double>(std::nextafter(std::fabs(rounded), INFINITY)) -
                      std::fabs(static_cast<double>(rounded));
  return static_cast<float>(exact + settings().fast_math_error * ulps * unit);
}

inline float off_by(double exact, double absolute) {
  return static_cast<float>(exact + settings().fast_math_error * absolute);
}

}  // namespace simt

inline float __expf(float x) {
  return simt::off_by_ulps(std::exp(static_cast<double>(x)),
                           2 + std::floor(std::fabs(1.173 * static_cast<double>(x))));
}
inline float __exp10f(float x) {
  return simt::off_by_ulps(std::pow(10.0, static_cast<double>(x)),
                           2 + std::floor(std::fabs(2.97 * static_cast<double>(x))));
}
inline float __logf(float x) {
  const double exact = std::log(static_cast<double>(x));
  return x >= 0.5f && x <= 2.0f ? simt::off_by(exact, std::exp2(-21.41))
                                : simt::off_by_ulps(exact, 3);
}
inline float __log2f(float x) {
  const double exact = std::log2(static_cast<double>(x));
  return x >= 0.5f && x <= 2.0f ? simt::off_by(exact, std::exp2(-22)) : simt::off_by_ulps(exact, 2);
}
inline float __sinf(float x) {  // documented for |x| <= pi
  return simt::off_by(std::sin(static_cast<double>(x)), std::exp2(-21.41));
}
inline float __cosf(float x) {  // documented for |x| <= pi
  return simt::off_by(std::cos(static_cast<double>(x)), std::exp2(-21.19));
}
inline float __fdividef(float x, float y) {
  const double size = std::fabs(static_cast<double>(y));
  if (size > 0x1p126 && size <= 0x1p128) return std::isinf(x) ? NAN : 0.0f;
  return simt::off_by_ulps(static_cast<double>(x) / static_cast<double>(y), 2);
}
inline float rsqrtf(float x) {
  return simt::off_by_ulps(1.0 / std::sqrt(static_cast<double>(x)), 2);
}
// Correctly rounded ones have no error to add.
inline float __fmaf_rn(float x, float y, float z) { return std::fmaf(x, y, z); }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fsub_rn(float x, float y) { return x - y; }
inline float __fmul_rn(float x, float y) { return x * y; }
