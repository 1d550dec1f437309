// Checks, allocation and arguments that the ops of views share, for CPU and CUDA entries alike.
#pragma once

#include "common.h"

namespace fctfast {

// No template: nvcc 13.0 hands this call on to g++ without its optionals if it is in one.
inline Tensor empty_views(const Tensor& images, const ViewArgs& a, int64_t rows, int64_t height,
                          int64_t width, ScalarType dtype) {
  return torch::stable::empty({rows, a.channels, height, width}, dtype, std::nullopt,
                              images.device(), std::nullopt,
                              a.channels_last ? torch::headeronly::MemoryFormat::ChannelsLast
                                              : torch::headeronly::MemoryFormat::Contiguous);
}

template <typename Args>
struct PreparedViews {
  Tensor out;
  std::vector<float> mean, std;  // what args points to
  Args args;                     // but for mean and std: use with_numbers()

  Args with_numbers() const {
    Args made = args;
    made.mean = mean.data();
    made.std = std.data();
    return made;
  }

  void allocate(const Tensor& images, int64_t rows, int64_t height, int64_t width,
                ScalarType dtype) {
    out = empty_views(images, args, rows, height, width, dtype);
    args.out = out.mutable_data_ptr();
  }
};

// Everything of ViewArgs but `out`, which is as large as the op says.
template <typename Args>
PreparedViews<Args> prepare_views(const char* op, const Tensor& images,
                                  const std::vector<double>& mean, const std::vector<double>& std,
                                  bool nhwc, ScalarType dtype, bool channels_last) {
  STD_TORCH_CHECK(images.dim() == 4 && images.scalar_type() == ScalarType::Byte, op,
                  ": expected images uint8 of four dimensions");
  const int64_t c = nhwc ? 3 : 1, y = nhwc ? 1 : 2, x = nhwc ? 2 : 3;
  Args a{};
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
                  op, ": expected mean and std of ", a.channels, " values, got ", mean.size(),
                  " and ", std.size());
  STD_TORCH_CHECK(a.height <= kMaxSide && a.width <= kMaxSide, op, ": expected sides of at most ",
                  kMaxSide, ", got ", a.height, " x ", a.width);
  STD_TORCH_CHECK(
      dtype == ScalarType::Float || dtype == ScalarType::Half || dtype == ScalarType::BFloat16, op,
      ": expected dtype float32, float16 or bfloat16");
  a.kind = kind_of(dtype, op);
  a.channels_last = channels_last;
  return {Tensor(), {mean.begin(), mean.end()}, {std.begin(), std.end()}, a};
}

}  // namespace fctfast
