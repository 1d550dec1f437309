// Checks and arguments of feature_distance, for its CPU and its CUDA entries alike.
#pragma once

#include "common.h"

namespace fctfast {

// [N, D, h, w] with the channels innermost. As torch has it: strides of sides of 1 do not count.
inline bool is_channels_last(const Tensor& t) {
  if (t.dim() != 4) return false;
  int64_t expected = 1;
  for (const int64_t d : {1, 3, 2, 0}) {
    if (t.size(d) != 1 && t.stride(d) != expected) return false;
    expected *= t.size(d);
  }
  return true;
}

// A gradient laid out as the kernels read `dense`, whatever strides its sides of 1 have.
inline Tensor empty_like_features(const Tensor& dense) {
  using torch::headeronly::MemoryFormat;
  const MemoryFormat format =
      dense.is_contiguous() ? MemoryFormat::Contiguous : MemoryFormat::ChannelsLast;
  return torch::stable::empty(dense.sizes(), dense.scalar_type(), std::nullopt, dense.device(),
                              std::nullopt, format);
}

inline FeatureDistanceArgs feature_distance_args(const Tensor& features, int64_t draws, bool mean) {
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

inline Tensor dense_features(const Tensor& features) {
  return features.is_contiguous() || is_channels_last(features)
             ? features
             : torch::stable::contiguous(features);
}

inline void check_feature_grad(const Tensor& grad, const FeatureDistanceArgs& a,
                               ScalarType features) {
  STD_TORCH_CHECK(grad.dim() == 2 && grad.size(0) == a.draws && grad.size(1) == a.batch &&
                      grad.scalar_type() == accumulator_type(features),
                  "feature_distance_backward: expected grad like the distance [", a.draws, ", ",
                  a.batch, "]");
}

}  // namespace fctfast
