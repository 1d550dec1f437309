// Division by a number known before the kernel starts: a product and a shift (Granlund and
// Montgomery 1994) in place of the 80 instructions of a 64-bit division.
#pragma once

#include "portable.h"

namespace fctfast {

// n / divisor, exactly, for 0 <= n < 2^63 and 1 <= divisor < 2^62.
struct Divider {
  uint64_t magic;
  int64_t divisor;
  int32_t shift;  // of the smallest power of two that is not less than the divisor

  FCT_HD int64_t quotient(int64_t n) const {
#if defined(__CUDA_ARCH__)
    const uint64_t high = __umul64hi(static_cast<uint64_t>(n), magic);
#else
    __extension__ typedef unsigned __int128 Wide;
    const auto high = static_cast<uint64_t>((Wide{static_cast<uint64_t>(n)} * magic) >> 64);
#endif
    return static_cast<int64_t>((high + static_cast<uint64_t>(n)) >> shift);
  }
};

inline Divider make_divider(int64_t divisor) {
  __extension__ typedef unsigned __int128 Wide;
  Divider d{0, divisor, 0};
  while ((int64_t{1} << d.shift) < divisor) ++d.shift;
  const uint64_t excess = (uint64_t{1} << d.shift) - static_cast<uint64_t>(divisor);
  d.magic = static_cast<uint64_t>((Wide{excess} << 64) / static_cast<uint64_t>(divisor)) + 1;
  return d;
}

// n = quotient * divisor + rest.
struct Divided {
  int64_t quotient, rest;
};

FCT_HD Divided divide(int64_t n, const Divider& d) {
  const int64_t quotient = d.quotient(n);
  return {quotient, n - quotient * d.divisor};
}

}  // namespace fctfast
