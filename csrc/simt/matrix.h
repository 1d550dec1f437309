// Tensor-core instructions as collectives of a warp, with the lane maps of the PTX ISA manual.
#pragma once

#include <cstdint>

#include "executor.h"

namespace simt {

enum class MmaType { f16, bf16, tf32 };

// m16n8k16 (f16, bf16) or m16n8k8 (tf32): d += a b in float32, in the setting's order. Of a tf32
// operand the hardware uses 19 bits; here the other 13 are noise unless they are zeros, so that a
// missing conversion shows.
void mma(MmaType type, float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site);

// ldmatrix.x4: `row` is the 16 bytes that this lane's address points to.
void load_matrices(uint32_t (&out)[4], const uint32_t (&row)[4], bool transposed, Site site);

}  // namespace simt
