// Bytes to normalised floats: exactly x.float().div(255).sub(mean).div(std), without dividing.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#if defined(__SSSE3__) || defined(__F16C__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#include "../scalar_types.h"

namespace fctfast::cpu {

// A division by a constant as a product with its reciprocal and one correction (Markstein 1990):
// correctly rounded whenever the check below says so, and three times as fast. Without FMA
// hardware the correction would cost more than the division.
#if defined(__FMA__)
constexpr bool kHasFma = true;
inline float corrected_quotient(float x, float divisor, float reciprocal) {
  const float q = x * reciprocal;
  return __builtin_fmaf(__builtin_fmaf(-q, divisor, x), reciprocal, q);
}
#else
constexpr bool kHasFma = false;
inline float corrected_quotient(float x, float divisor, float) { return x / divisor; }
#endif

template <bool Corrected>
inline float normalised(uint32_t byte, float mean, float std, float reciprocal) {
  const float x = static_cast<float>(static_cast<int32_t>(byte));
  if (!Corrected) return (x / 255.0f - mean) / std;
  constexpr float kReciprocal255 = 1.0f / 255.0f;
  return corrected_quotient(corrected_quotient(x, 255.0f, kReciprocal255) - mean, std, reciprocal);
}

struct Normaliser {
  float mean, std, reciprocal;
  bool exact;  // the corrected quotients equal the divisions for all 256 bytes

  template <bool Corrected>
  float value(uint32_t byte) const {
    return normalised<Corrected>(byte, mean, std, reciprocal);
  }
};

inline Normaliser make_normaliser(float mean, float std) {
  Normaliser n{mean, std, 1.0f / std, kHasFma};
  float fast[256], slow[256];
  for (uint32_t b = 0; b < 256; ++b) fast[b] = n.value<true>(b);
  for (uint32_t b = 0; b < 256; ++b) slow[b] = n.value<false>(b);
  n.exact = n.exact && std::memcmp(fast, slow, sizeof fast) == 0;
  return n;
}

inline void narrow_block(const float* in, int64_t count, float* out) {
  std::memcpy(out, in, static_cast<size_t>(count) * sizeof(float));
}

inline void narrow_block(const float* in, int64_t count, BFloat16* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = narrow<BFloat16>(in[i]);
}

inline void narrow_block(const float* in, int64_t count, Half* out) {
  int64_t i = 0;
#if defined(__F16C__)
  for (; i + 8 <= count; i += 8)
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i),
                     _mm256_cvtps_ph(_mm256_loadu_ps(in + i), _MM_FROUND_TO_NEAREST_INT));
#endif
  for (; i < count; ++i) out[i] = narrow<Half>(in[i]);
}

// out[i] = normalised byte(i) for i < count; `byte` is called with a vectorisable index.
template <bool Corrected, typename T, typename Byte>
inline void normalise_run(const Normaliser& n, int64_t count, T* out, Byte byte) {
  if constexpr (sizeof(T) == 4) {
    for (int64_t i = 0; i < count; ++i) out[i] = n.value<Corrected>(byte(i));
  } else {
    constexpr int64_t kBlock = 64;
    float block[kBlock];
    for (int64_t i = 0; i < count; i += kBlock) {
      const int64_t size = count - i < kBlock ? count - i : kBlock;
      for (int64_t j = 0; j < size; ++j) block[j] = n.value<Corrected>(byte(i + j));
      narrow_block(block, size, out + i);
    }
  }
}

constexpr int64_t kPeriod = 64;  // pixels after which the constants below start again

// Constants of interleaved channels, written out so that a vector of positions loads them.
struct RepeatedNormaliser {
  float mean[kPeriod * 4], std[kPeriod * 4], reciprocal[kPeriod * 4];
  bool exact;
};

inline RepeatedNormaliser repeat(const std::vector<Normaliser>& normalisers) {
  RepeatedNormaliser r{};
  const size_t channels = normalisers.size();
  r.exact = true;
  for (size_t i = 0; i < kPeriod * channels; ++i) {
    const Normaliser& n = normalisers[i % channels];
    r.mean[i] = n.mean;
    r.std[i] = n.std;
    r.reciprocal[i] = n.reciprocal;
    r.exact = r.exact && n.exact;
  }
  return r;
}

template <bool Corrected, typename T>
inline void normalise_repeated(const RepeatedNormaliser& r, const uint8_t* bytes, int64_t count,
                               T* out) {
  const auto value = [&](int64_t i) {
    return normalised<Corrected>(bytes[i], r.mean[i], r.std[i], r.reciprocal[i]);
  };
  if constexpr (sizeof(T) == 4) {
    for (int64_t i = 0; i < count; ++i) out[i] = value(i);
  } else {
    float block[kPeriod * 4];
    for (int64_t i = 0; i < count; ++i) block[i] = value(i);
    narrow_block(block, count, out);
  }
}

}  // namespace fctfast::cpu
