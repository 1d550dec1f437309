#include "feature_distance.h"

#include "cpu_kernels.h"

namespace fctfast {
namespace {

Tensor feature_distance(const Tensor& features, int64_t draws, bool mean) {
  const Tensor dense = dense_features(features);
  FeatureDistanceArgs args = feature_distance_args(dense, draws, mean);
  Tensor out = torch::stable::empty({draws, args.batch}, accumulator_type(features.scalar_type()));
  args.distance = out.mutable_data_ptr();
  const int64_t per_sample = (1 + draws) * args.width * args.pixels;
  torch::stable::parallel_for(0, args.batch, grain(per_sample), [&](int64_t begin, int64_t end) {
    cpu_kernels().feature_distance(args, begin, end);
  });
  return out;
}

Tensor feature_distance_backward(const Tensor& grad, const Tensor& features, int64_t draws,
                                 bool mean) {
  const Tensor dense = dense_features(features);
  FeatureDistanceArgs args = feature_distance_args(dense, draws, mean);
  check_feature_grad(grad, args, features.scalar_type());
  const Tensor dense_grad = torch::stable::contiguous(grad);
  Tensor out = empty_like_features(dense);
  prefer_huge_pages(out);
  args.grad = dense_grad.const_data_ptr();
  args.grad_features = out.mutable_data_ptr();
  const int64_t per_sample = (1 + draws) * args.width * args.pixels;
  torch::stable::parallel_for(0, args.batch, grain(per_sample), [&](int64_t begin, int64_t end) {
    cpu_kernels().feature_distance_backward(args, begin, end);
  });
  return out;
}

STABLE_TORCH_LIBRARY_FRAGMENT(fctfast, m) {
  m.def("feature_distance(Tensor features, int draws, bool mean) -> Tensor");
  m.def("feature_distance_backward(Tensor grad, Tensor features, int draws, bool mean) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(fctfast, CPU, m) {
  m.impl("feature_distance", TORCH_BOX(&feature_distance));
  m.impl("feature_distance_backward", TORCH_BOX(&feature_distance_backward));
}

}  // namespace
}  // namespace fctfast
