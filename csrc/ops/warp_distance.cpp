#include "common.h"
#include "cpu_kernels.h"

namespace fctfast {
namespace {

WarpDistanceArgs make_args(const Tensor& x, const Tensor& coefficients,
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

Tensor warp_distance(const Tensor& x, const Tensor& coefficients, const std::vector<double>& fill,
                     bool mean) {
  const Tensor dense = torch::stable::contiguous(x);
  WarpDistanceArgs args = make_args(dense, coefficients, fill, mean);
  Tensor out = torch::stable::empty({args.draws, args.batch}, accumulator_type(x.scalar_type()));
  args.distance = out.mutable_data_ptr();
  const int64_t per_item = args.channels * args.height * args.width;
  torch::stable::parallel_for(
      0, args.draws * args.batch, grain(per_item),
      [&](int64_t begin, int64_t end) { cpu_kernels().warp_distance(args, begin, end); });
  return out;
}

Tensor warp_distance_backward(const Tensor& grad, const Tensor& x, const Tensor& coefficients,
                              const std::vector<double>& fill, bool mean) {
  const Tensor dense = torch::stable::contiguous(x);
  WarpDistanceArgs args = make_args(dense, coefficients, fill, mean);
  STD_TORCH_CHECK(grad.dim() == 2 && grad.size(0) == args.draws && grad.size(1) == args.batch &&
                      grad.scalar_type() == accumulator_type(x.scalar_type()),
                  "warp_distance_backward: expected grad like the distance [", args.draws, ", ",
                  args.batch, "]");
  const Tensor dense_grad = torch::stable::contiguous(grad);
  Tensor out = torch::stable::empty_like(dense);
  prefer_huge_pages(out);
  args.grad = dense_grad.const_data_ptr();
  args.grad_x = out.mutable_data_ptr();
  const int64_t per_plane = (1 + args.draws) * args.height * args.width;
  torch::stable::parallel_for(
      0, args.batch * args.channels, grain(per_plane),
      [&](int64_t begin, int64_t end) { cpu_kernels().warp_distance_backward(args, begin, end); });
  return out;
}

STABLE_TORCH_LIBRARY_FRAGMENT(fctfast, m) {
  m.def("warp_distance(Tensor x, Tensor coefficients, float[] fill, bool mean) -> Tensor");
  m.def(
      "warp_distance_backward(Tensor grad, Tensor x, Tensor coefficients, float[] fill, bool "
      "mean) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(fctfast, CPU, m) {
  m.impl("warp_distance", TORCH_BOX(&warp_distance));
  m.impl("warp_distance_backward", TORCH_BOX(&warp_distance_backward));
}

}  // namespace
}  // namespace fctfast
