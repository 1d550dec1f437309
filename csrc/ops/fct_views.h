// Arguments of fct_views, for its CPU and its CUDA entry alike.
#pragma once

#include "views.h"

namespace fctfast {

inline PreparedViews<FctViewsArgs> prepare_fct_views(const Tensor& images,
                                                     const Tensor& coefficients,
                                                     const std::vector<double>& mean,
                                                     const std::vector<double>& std, bool nhwc,
                                                     ScalarType dtype, bool channels_last,
                                                     bool originals) {
  auto views =
      prepare_views<FctViewsArgs>("fct_views", images, mean, std, nhwc, dtype, channels_last);
  FctViewsArgs& a = views.args;
  const Coefficients k = coefficients_of(coefficients, a.batch, "fct_views");
  a.draws = coefficients.size(0);
  a.nearest = k.nearest;
  a.bilinear = k.bilinear;
  a.originals = originals;
  views.allocate(images, ((originals ? 1 : 0) + a.draws) * a.batch, a.height, a.width, dtype);
  return views;
}

}  // namespace fctfast
