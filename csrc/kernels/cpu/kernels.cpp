// Compiled once per instruction set, each into a shared object of its own with hidden visibility:
// an inline std function compiled with AVX must never serve the baseline.
#include "kernels.h"

#include "contrastive_views.h"
#include "fct_views_bilinear.h"
#include "feature_distance.h"
#include "supcon_loss.h"
#include "supcon_rows.h"
#include "warp_distance.h"

#ifndef FCTFAST_INSTRUCTION_SET
#error "FCTFAST_INSTRUCTION_SET must name the instruction set this file is compiled for"
#endif

namespace fctfast::cpu {
namespace {

#define FCT_BY_KIND(name, Args)                                    \
  void name##_any(const Args& a, int64_t begin, int64_t end) {     \
    switch (a.kind) {                                              \
      case ScalarKind::f32: return name<float>(a, begin, end);     \
      case ScalarKind::f64: return name<double>(a, begin, end);    \
      case ScalarKind::f16: return name<Half>(a, begin, end);      \
      case ScalarKind::bf16: return name<BFloat16>(a, begin, end); \
    }                                                              \
  }
FCT_BY_KIND(feature_distance, FeatureDistanceArgs)
FCT_BY_KIND(feature_distance_backward, FeatureDistanceArgs)
FCT_BY_KIND(warp_distance, WarpDistanceArgs)
FCT_BY_KIND(warp_distance_backward, WarpDistanceArgs)
#undef FCT_BY_KIND

void contrastive_views_any(const ContrastiveViewsArgs& a, int64_t begin, int64_t end) {
  switch (a.kind) {
    case ScalarKind::f16: return contrastive_views<Half>(a, begin, end);
    case ScalarKind::bf16: return contrastive_views<BFloat16>(a, begin, end);
    default: return contrastive_views<float>(a, begin, end);
  }
}

constexpr CpuKernels kKernels = {
    FCTFAST_INSTRUCTION_SET,
    fct_views,
    contrastive_views_any,
    feature_distance_any,
    feature_distance_backward_any,
    warp_distance_any,
    warp_distance_backward_any,
    supcon_unit_rows,
    supcon_positives,
    supcon_largest,
    supcon_denominator,
    supcon_sums,
    supcon_grad_rows,
};

}  // namespace
}  // namespace fctfast::cpu

__attribute__((visibility("default"))) const fctfast::CpuKernels* fctfast_cpu_kernels() {
  return &fctfast::cpu::kKernels;
}
