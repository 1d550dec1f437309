// What every op's entry needs: names for stable-ABI types and the checks memory safety needs.
#pragma once

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <algorithm>
#include <cstdint>
#include <vector>

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/Exception.h>

#include "../kernels/args.h"

namespace fctfast {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

inline ScalarKind kind_of(ScalarType type, const char* op) {
  switch (type) {
    case ScalarType::Float: return ScalarKind::f32;
    case ScalarType::Double: return ScalarKind::f64;
    case ScalarType::Half: return ScalarKind::f16;
    case ScalarType::BFloat16: return ScalarKind::bf16;
    default: STD_TORCH_CHECK(false, op, ": expected a floating tensor");
  }
}

// Sums of 16-bit and float32 values are float32, of float64 float64.
inline ScalarType accumulator_type(ScalarType type) {
  return type == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
}

// A large output is a fresh mapping, and its first touch costs more than most kernels: 4 KB at a
// time 39 ms for 77 MB on one thread, which is eight times what writing it takes.
inline void prefer_huge_pages(const Tensor& t) {
#if defined(__linux__)
  constexpr uintptr_t kHugePage = uintptr_t{2} << 20;
  const uintptr_t first = reinterpret_cast<uintptr_t>(t.const_data_ptr());
  const uintptr_t bytes = static_cast<uintptr_t>(t.numel()) * t.element_size();
  const uintptr_t begin = (first + kHugePage - 1) & ~(kHugePage - 1);
  const uintptr_t end = (first + bytes) & ~(kHugePage - 1);
  if (end > begin) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#else
  (void)t;
#endif
}

// Items per task such that a task moves about this many elements: enough to pay for its start.
inline int64_t grain(int64_t elements_per_item) {
  constexpr int64_t kElementsPerTask = 16384;
  return std::max<int64_t>(1, kElementsPerTask / std::max<int64_t>(1, elements_per_item));
}

struct Coefficients {
  const NearestCoefficients* nearest = nullptr;
  const BilinearCoefficients* bilinear = nullptr;
};

// [draws, batch, 8] int32 (nearest) or [draws, batch, 6] int64 (bilinear), contiguous.
inline Coefficients coefficients_of(const Tensor& t, int64_t batch, const char* op) {
  const bool nearest = t.scalar_type() == ScalarType::Int;
  STD_TORCH_CHECK(nearest || t.scalar_type() == ScalarType::Long, op,
                  ": expected coefficients of int32 (nearest) or int64 (bilinear)");
  STD_TORCH_CHECK(t.dim() == 3 && t.is_contiguous() && t.size(1) == batch &&
                      t.size(2) == (nearest ? kNearestWords : kBilinearWords),
                  op, ": expected contiguous coefficients [draws, ", batch, ", ",
                  nearest ? kNearestWords : kBilinearWords, "]");
  Coefficients out;
  if (nearest) {
    out.nearest = static_cast<const NearestCoefficients*>(t.const_data_ptr());
  } else {
    out.bilinear = static_cast<const BilinearCoefficients*>(t.const_data_ptr());
  }
  return out;
}

}  // namespace fctfast
