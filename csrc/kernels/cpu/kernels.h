// The CPU kernels as plain C: pointers, sizes and PODs. Each instruction set's build of this
// folder is a shared object of its own that exports one function, `fctfast_cpu_kernels`.
//
// Every kernel takes a range of independent items; each item's result is computed by one call in
// a fixed order, so neither the number of threads nor their schedule can change a bit.
#pragma once

#include <cstdint>

#include "../args.h"

namespace fctfast {

struct CpuKernels {
  const char* instruction_set;
  void (*fct_views)(const FctViewsArgs&, int64_t begin, int64_t end);
  void (*contrastive_views)(const ContrastiveViewsArgs&, int64_t begin, int64_t end);
  void (*feature_distance)(const FeatureDistanceArgs&, int64_t begin, int64_t end);
  void (*feature_distance_backward)(const FeatureDistanceArgs&, int64_t begin, int64_t end);
  void (*warp_distance)(const WarpDistanceArgs&, int64_t begin, int64_t end);
  void (*warp_distance_backward)(const WarpDistanceArgs&, int64_t begin, int64_t end);
  void (*supcon_unit_rows)(const SupConArgs&, int64_t begin, int64_t end);
  void (*supcon_positives)(const SupConArgs&, int64_t begin, int64_t end);
  void (*supcon_largest)(const SupConArgs&, int64_t begin, int64_t end);
  void (*supcon_denominator)(const SupConArgs&, int64_t begin, int64_t end);
  void (*supcon_sums)(const SupConArgs&, int64_t begin, int64_t end);
  void (*supcon_grad_rows)(const SupConArgs&, int64_t begin, int64_t end);
};

}  // namespace fctfast

extern "C" const fctfast::CpuKernels* fctfast_cpu_kernels();
