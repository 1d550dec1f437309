#include "fct_views.h"

namespace fctfast {

ViewsShape check_fct_views(const Tensor& images, const Tensor& coefficients,
                           const std::vector<double>& mean, const std::vector<double>& std,
                           bool nhwc, ScalarType dtype) {
  STD_TORCH_CHECK(images.dim() == 4 && images.scalar_type() == ScalarType::Byte,
                  "fct_views: expected images uint8 of four dimensions");
  ViewsShape s;
  const int64_t c = nhwc ? 3 : 1, y = nhwc ? 1 : 2, x = nhwc ? 2 : 3;
  s.batch = images.size(0);
  s.channels = images.size(c);
  s.height = images.size(y);
  s.width = images.size(x);
  s.stride_n = images.stride(0);
  s.stride_c = images.stride(c);
  s.stride_y = images.stride(y);
  s.stride_x = images.stride(x);
  s.draws = coefficients.dim() == 3 ? coefficients.size(0) : 0;
  const int64_t channels = s.channels;
  STD_TORCH_CHECK(
      static_cast<int64_t>(mean.size()) == channels && static_cast<int64_t>(std.size()) == channels,
      "fct_views: expected mean and std of ", channels, " values, got ", mean.size(), " and ",
      std.size());
  STD_TORCH_CHECK(s.height <= kMaxSide && s.width <= kMaxSide,
                  "fct_views: expected sides of at most ", kMaxSide, ", got ", s.height, " x ",
                  s.width);
  STD_TORCH_CHECK(
      dtype == ScalarType::Float || dtype == ScalarType::Half || dtype == ScalarType::BFloat16,
      "fct_views: expected dtype float32, float16 or bfloat16");
  coefficients_of(coefficients, s.batch, "fct_views");
  return s;
}

Tensor empty_views(const ViewsShape& s, const Tensor& like, ScalarType dtype, bool channels_last,
                   bool originals) {
  const int64_t rows = ((originals ? 1 : 0) + s.draws) * s.batch;
  return torch::stable::empty({rows, s.channels, s.height, s.width}, dtype, std::nullopt,
                              like.device(), std::nullopt,
                              channels_last ? torch::headeronly::MemoryFormat::ChannelsLast
                                            : torch::headeronly::MemoryFormat::Contiguous);
}

}  // namespace fctfast
