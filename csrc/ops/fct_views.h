// Checks, allocation and arguments of fct_views, for its CPU and its CUDA entry alike.
#pragma once

#include "common.h"

namespace fctfast {

struct PreparedViews {
  Tensor out;
  std::vector<float> mean, std;  // what args points to
  FctViewsArgs args;             // but for mean and std: use with_numbers()

  FctViewsArgs with_numbers() const {
    FctViewsArgs made = args;
    made.mean = mean.data();
    made.std = std.data();
    return made;
  }
};

inline PreparedViews prepare_fct_views(const Tensor& images, const Tensor& coefficients,
                                       const std::vector<double>& mean,
                                       const std::vector<double>& std, bool nhwc, ScalarType dtype,
                                       bool channels_last, bool originals) {
  STD_TORCH_CHECK(images.dim() == 4 && images.scalar_type() == ScalarType::Byte,
                  "fct_views: expected images uint8 of four dimensions");
  const int64_t c = nhwc ? 3 : 1, y = nhwc ? 1 : 2, x = nhwc ? 2 : 3;
  FctViewsArgs a{};
  a.images = static_cast<const uint8_t*>(images.const_data_ptr());
  a.batch = images.size(0);
  a.channels = images.size(c);
  a.height = images.size(y);
  a.width = images.size(x);
  a.stride_n = images.stride(0);
  a.stride_c = images.stride(c);
  a.stride_y = images.stride(y);
  a.stride_x = images.stride(x);
  STD_TORCH_CHECK(static_cast<int64_t>(mean.size()) == a.channels &&
                      static_cast<int64_t>(std.size()) == a.channels,
                  "fct_views: expected mean and std of ", a.channels, " values, got ", mean.size(),
                  " and ", std.size());
  STD_TORCH_CHECK(a.height <= kMaxSide && a.width <= kMaxSide,
                  "fct_views: expected sides of at most ", kMaxSide, ", got ", a.height, " x ",
                  a.width);
  STD_TORCH_CHECK(
      dtype == ScalarType::Float || dtype == ScalarType::Half || dtype == ScalarType::BFloat16,
      "fct_views: expected dtype float32, float16 or bfloat16");
  const Coefficients k = coefficients_of(coefficients, a.batch, "fct_views");
  a.draws = coefficients.size(0);
  a.nearest = k.nearest;
  a.bilinear = k.bilinear;
  a.kind = kind_of(dtype, "fct_views");
  a.channels_last = channels_last;
  a.originals = originals;
  Tensor out = torch::stable::empty(
      {((originals ? 1 : 0) + a.draws) * a.batch, a.channels, a.height, a.width}, dtype,
      std::nullopt, images.device(), std::nullopt,
      channels_last ? torch::headeronly::MemoryFormat::ChannelsLast
                    : torch::headeronly::MemoryFormat::Contiguous);
  a.out = out.mutable_data_ptr();
  return {out, {mean.begin(), mean.end()}, {std.begin(), std.end()}, a};
}

}  // namespace fctfast
