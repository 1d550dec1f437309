// Counter-based random numbers: Philox4x32-10 (Salmon et al., SC 2011).
#pragma once

#include "portable.h"

namespace fctfast {

struct Philox4 {
  uint32_t x, y, z, w;
};

FCT_HD Philox4 philox4x32_10(Philox4 c, uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c.x;
    const uint64_t p1 = uint64_t{0xCD9E8D57u} * c.z;
    c = {static_cast<uint32_t>(p1 >> 32) ^ c.y ^ k0, static_cast<uint32_t>(p1),
         static_cast<uint32_t>(p0 >> 32) ^ c.w ^ k1, static_cast<uint32_t>(p0)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

// U[-1, 1) on a grid of 2^-23: exact in float32, so the product with a bound never rounds up to
// the bound itself.
FCT_HD double symmetric_uniform(uint32_t word) {
  return static_cast<double>(word >> 8) * 0x1p-23 - 1.0;
}

}  // namespace fctfast
