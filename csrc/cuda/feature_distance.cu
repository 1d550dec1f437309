#include "../kernels/gpu/feature_distance.h"

#include "../ops/feature_distance.h"
#include "common.h"

namespace fctfast {
namespace {

Tensor feature_distance(const Tensor& features, int64_t draws, bool mean) {
  const DeviceGuard guard(features.get_device_index());
  const Tensor dense = aligned(dense_features(features));
  FeatureDistanceArgs args = feature_distance_args(dense, draws, mean);
  const ScalarType type = accumulator_type(features.scalar_type());
  Tensor out = torch::stable::new_empty(features, {draws, args.batch}, type);
  if (dense.numel() == 0) return torch::stable::zero_(out);
  const int64_t numbers = gpu::feature_distance_scratch(args);
  Tensor partial = numbers == 0 ? out : torch::stable::new_empty(features, {numbers}, type);
  args.distance = out.mutable_data_ptr();
  check_launch(gpu::launch_feature_distance(args, partial.mutable_data_ptr(), false,
                                            current_stream(features)),
               "feature_distance");
  return out;
}

Tensor feature_distance_backward(const Tensor& grad, const Tensor& features, int64_t draws,
                                 bool mean) {
  const DeviceGuard guard(features.get_device_index());
  require_same_device(features, grad, "feature_distance_backward", "grad");
  const Tensor dense = aligned(dense_features(features));
  FeatureDistanceArgs args = feature_distance_args(dense, draws, mean);
  check_feature_grad(grad, args, features.scalar_type());
  const Tensor dense_grad = torch::stable::contiguous(grad);
  Tensor out = empty_like_features(dense);
  args.grad = dense_grad.const_data_ptr();
  args.grad_features = out.mutable_data_ptr();
  check_launch(gpu::launch_feature_distance(args, nullptr, true, current_stream(features)),
               "feature_distance_backward");
  return out;
}

STABLE_TORCH_LIBRARY_IMPL(fctfast, CUDA, m) {
  m.impl("feature_distance", TORCH_BOX(&feature_distance));
  m.impl("feature_distance_backward", TORCH_BOX(&feature_distance_backward));
}

}  // namespace
}  // namespace fctfast
