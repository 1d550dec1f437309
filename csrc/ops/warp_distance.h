// Checks and arguments of warp_distance, for its CPU and its CUDA entries alike.
#pragma once

#include "common.h"

namespace fctfast {

inline WarpDistanceArgs warp_distance_args(const Tensor& x, const Tensor& coefficients,
                                           const std::vector<double>& fill, bool mean) {
  STD_TORCH_CHECK(x.dim() == 4, "warp_distance: expected x [B, C, H, W]");
  STD_TORCH_CHECK(static_cast<int64_t>(fill.size()) == x.size(1),
                  "warp_distance: expected fill of ", x.size(1), " values, got ", fill.size());
  STD_TORCH_CHECK(x.size(2) <= kMaxSide && x.size(3) <= kMaxSide,
                  "warp_distance: expected sides of at most ", kMaxSide);
  const Coefficients k = coefficients_of(coefficients, x.size(0), "warp_distance");
  WarpDistanceArgs args{};
  args.x = x.const_data_ptr();
  args.batch = x.size(0);
  args.draws = coefficients.size(0);
  args.channels = x.size(1);
  args.height = x.size(2);
  args.width = x.size(3);
  args.nearest = k.nearest;
  args.bilinear = k.bilinear;
  args.fill = fill.data();
  args.kind = kind_of(x.scalar_type(), "warp_distance");
  const int64_t elements = std::max<int64_t>(1, args.channels * args.height * args.width);
  args.scale = mean ? 1.0 / static_cast<double>(elements) : 1.0;
  return args;
}

inline void check_warp_grad(const Tensor& grad, const WarpDistanceArgs& a, ScalarType x) {
  STD_TORCH_CHECK(grad.dim() == 2 && grad.size(0) == a.draws && grad.size(1) == a.batch &&
                      grad.scalar_type() == accumulator_type(x),
                  "warp_distance_backward: expected grad like the distance [", a.draws, ", ",
                  a.batch, "]");
}

}  // namespace fctfast
