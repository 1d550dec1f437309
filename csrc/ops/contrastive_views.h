// Checks and arguments of contrastive_views, for its CPU and its CUDA entry alike.
#pragma once

#include <cmath>

#include "views.h"

namespace fctfast {

// Of rows on the CPU, where they can be read: crops inside the image, an order that exists, factors
// of colours that torchvision takes, too.
inline void check_contrastive_params(const Tensor& params, int64_t height, int64_t width) {
  const float* p = params.const_data_ptr<float>();
  for (int64_t i = 0; i < params.size(0); ++i, p += kContrastiveWords) {
    const bool inside = p[kTop] >= 0 && p[kLeft] >= 0 && p[kCropHeight] >= 1 &&
                        p[kCropWidth] >= 1 && p[kTop] + p[kCropHeight] <= height &&
                        p[kLeft] + p[kCropWidth] <= width;
    STD_TORCH_CHECK(inside && p[kOrder] >= 0 && p[kOrder] < 24,
                    "contrastive_views: expected a crop inside ", height, " x ", width,
                    " and an order of 0 to 23, got top ", p[kTop], ", left ", p[kLeft], ", height ",
                    p[kCropHeight], ", width ", p[kCropWidth], ", order ", p[kOrder], " in row ",
                    i);
    const auto factor = [](float x) { return x >= 0 && x < INFINITY; };
    STD_TORCH_CHECK(p[kJitter] == 0 || (factor(p[kBrightness]) && factor(p[kContrast]) &&
                                        factor(p[kSaturation]) && std::abs(p[kHue]) <= .5f),
                    "contrastive_views: expected factors of colours of at least 0 and a hue turned "
                    "by at most half a circle, -.5 to .5, got brightness ",
                    p[kBrightness], ", contrast ", p[kContrast], ", saturation ", p[kSaturation],
                    ", hue ", p[kHue], " in row ", i);
  }
}

// Everything but `params`, which each entry brings to where its kernel reads it.
inline PreparedViews<ContrastiveViewsArgs> prepare_contrastive_views(
    const Tensor& images, const Tensor& params, const std::vector<double>& mean,
    const std::vector<double>& std, int64_t height, int64_t width, bool nhwc, ScalarType dtype,
    bool channels_last) {
  auto views = prepare_views<ContrastiveViewsArgs>("contrastive_views", images, mean, std, nhwc,
                                                   dtype, channels_last);
  ContrastiveViewsArgs& a = views.args;
  STD_TORCH_CHECK(
      std::min({a.height, a.width, height, width}) >= 1 && std::max(height, width) <= kMaxSide,
      "contrastive_views: expected sides of 1 to ", kMaxSide, ", got ", height, " x ", width,
      " of ", a.height, " x ", a.width);
  STD_TORCH_CHECK(a.channels == 1 || a.channels == 3,
                  "contrastive_views: expected 1 or 3 channels, got ", a.channels);
  STD_TORCH_CHECK(params.dim() == 2 && params.size(1) == kContrastiveWords &&
                      params.scalar_type() == ScalarType::Float &&
                      (a.batch == 0 ? params.size(0) == 0 : params.size(0) % a.batch == 0),
                  "contrastive_views: expected params float32 [views * ", a.batch, ", ",
                  static_cast<int64_t>(kContrastiveWords), "]");
  a.rows = params.size(0);
  a.out_height = height;
  a.out_width = width;
  views.allocate(images, a.rows, height, width, dtype);
  return views;
}

}  // namespace fctfast
