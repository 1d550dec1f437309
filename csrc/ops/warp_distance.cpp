#include "warp_distance.h"

#include "cpu_kernels.h"

namespace fctfast {
namespace {

Tensor warp_distance(const Tensor& x, const Tensor& coefficients, const std::vector<double>& fill,
                     bool mean) {
  const Tensor dense = torch::stable::contiguous(x);
  WarpDistanceArgs args = warp_distance_args(dense, coefficients, fill, mean);
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
  WarpDistanceArgs args = warp_distance_args(dense, coefficients, fill, mean);
  check_warp_grad(grad, args, x.scalar_type());
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
