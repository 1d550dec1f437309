#include "../kernels/gpu/warp_distance.h"

#include "../ops/warp_distance.h"
#include "common.h"

namespace fctfast {
namespace {

// Fills that differ in many channels go to the device; a call that needs this cannot be captured
// in a graph.
Tensor device_fills(const WarpDistanceArgs& args, const Tensor& x) {
  const ScalarType type = accumulator_type(x.scalar_type());
  const bool many = gpu::fills_of(args) == gpu::Fills::many;
  Tensor fills = torch::stable::new_empty(x, {many ? args.channels : 0}, type);
  if (!many) return fills;
  Tensor host = torch::stable::empty({args.channels}, type);
  for (int64_t c = 0; c < args.channels; ++c) {
    if (type == ScalarType::Double) {
      host.mutable_data_ptr<double>()[c] = args.fill[c];
    } else {
      host.mutable_data_ptr<float>()[c] = static_cast<float>(args.fill[c]);
    }
  }
  return torch::stable::copy_(fills, host);
}

Tensor warp_distance(const Tensor& x, const Tensor& coefficients, const std::vector<double>& fill,
                     bool mean) {
  const DeviceGuard guard(x.get_device_index());
  require_same_device(x, coefficients, "warp_distance", "coefficients");
  const Tensor dense = aligned(torch::stable::contiguous(x));
  WarpDistanceArgs args = warp_distance_args(dense, coefficients, fill, mean);
  const ScalarType type = accumulator_type(x.scalar_type());
  Tensor out = torch::stable::new_empty(x, {args.draws, args.batch}, type);
  if (dense.numel() == 0) return torch::stable::zero_(out);
  Tensor partial = torch::stable::new_empty(x, {gpu::warp_distance_scratch(args)}, type);
  const Tensor fills = device_fills(args, x);
  args.distance = out.mutable_data_ptr();
  const gpu::WarpScratch scratch{partial.mutable_data_ptr(), fills.const_data_ptr()};
  check_launch(gpu::launch_warp_distance(args, scratch, false, current_stream(x)), "warp_distance");
  return out;
}

Tensor warp_distance_backward(const Tensor& grad, const Tensor& x, const Tensor& coefficients,
                              const std::vector<double>& fill, bool mean) {
  const DeviceGuard guard(x.get_device_index());
  require_same_device(x, coefficients, "warp_distance_backward", "coefficients");
  require_same_device(x, grad, "warp_distance_backward", "grad");
  const Tensor dense = aligned(torch::stable::contiguous(x));
  WarpDistanceArgs args = warp_distance_args(dense, coefficients, fill, mean);
  check_warp_grad(grad, args, x.scalar_type());
  const Tensor dense_grad = torch::stable::contiguous(grad);
  Tensor out = torch::stable::empty_like(dense);
  args.grad = dense_grad.const_data_ptr();
  args.grad_x = out.mutable_data_ptr();
  const Tensor fills = device_fills(args, x);
  check_launch(
      gpu::launch_warp_distance(args, {nullptr, fills.const_data_ptr()}, true, current_stream(x)),
      "warp_distance_backward");
  return out;
}

STABLE_TORCH_LIBRARY_IMPL(fctfast, CUDA, m) {
  m.impl("warp_distance", TORCH_BOX(&warp_distance));
  m.impl("warp_distance_backward", TORCH_BOX(&warp_distance_backward));
}

}  // namespace
}  // namespace fctfast
