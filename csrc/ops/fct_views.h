// Checks and allocation shared by the CPU and the CUDA entry of fct_views.
#pragma once

#include "common.h"

namespace fctfast {

struct ViewsShape {
  int64_t batch, channels, height, width, draws;
  int64_t stride_n, stride_c, stride_y, stride_x;
};

ViewsShape check_fct_views(const Tensor& images, const Tensor& coefficients,
                           const std::vector<double>& mean, const std::vector<double>& std,
                           bool nhwc, ScalarType dtype);

Tensor empty_views(const ViewsShape& s, const Tensor& like, ScalarType dtype, bool channels_last,
                   bool originals);

}  // namespace fctfast
