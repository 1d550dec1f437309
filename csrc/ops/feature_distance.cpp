#include "common.h"
#include "cpu_kernels.h"

namespace fctfast {
namespace {

// Strides of [N, D, h, w] with the channels innermost; a 1 x 1 map counts as either.
bool is_channels_last(const Tensor& t) {
  if (t.dim() != 4) return false;
  return t.stride(1) == 1 && t.stride(3) == t.size(1) && t.stride(2) == t.size(1) * t.size(3) &&
         t.stride(0) == t.size(1) * t.size(2) * t.size(3);
}

FeatureDistanceArgs make_args(const Tensor& features, int64_t draws, bool mean) {
  const int64_t rows = features.size(0);
  STD_TORCH_CHECK(features.dim() == 2 || features.dim() == 4,
                  "feature_distance: expected features [N, D] or [N, D, h, w]");
  STD_TORCH_CHECK(draws >= 1 && rows % (1 + draws) == 0,
                  "feature_distance: expected (1 + draws) * B rows for draws >= 1, got ", rows,
                  " rows and draws ", draws);
  FeatureDistanceArgs args{};
  args.features = features.const_data_ptr();
  args.batch = rows / (1 + draws);
  args.draws = draws;
  args.width = features.size(1);
  args.pixels = features.dim() == 4 ? features.size(2) * features.size(3) : 1;
  args.pixels_last = features.is_contiguous();
  args.kind = kind_of(features.scalar_type(), "feature_distance");
  args.scale = mean ? 1.0 / static_cast<double>(args.width) : 1.0;
  return args;
}

Tensor dense(const Tensor& features) {
  return features.is_contiguous() || is_channels_last(features)
             ? features
             : torch::stable::contiguous(features);
}

Tensor feature_distance(const Tensor& features, int64_t draws, bool mean) {
  const Tensor dense_features = dense(features);
  FeatureDistanceArgs args = make_args(dense_features, draws, mean);
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
  const Tensor dense_features = dense(features);
  FeatureDistanceArgs args = make_args(dense_features, draws, mean);
  STD_TORCH_CHECK(grad.dim() == 2 && grad.size(0) == draws && grad.size(1) == args.batch &&
                      grad.scalar_type() == accumulator_type(features.scalar_type()),
                  "feature_distance_backward: expected grad like the distance [", draws, ", ",
                  args.batch, "]");
  const Tensor dense_grad = torch::stable::contiguous(grad);
  Tensor out = torch::stable::empty_like(dense_features);
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
