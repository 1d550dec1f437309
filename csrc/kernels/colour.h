// The colour steps of contrastive learning's augmentation, of one pixel (float) or of several side
// by side (a vector of the CPU's): torchvision's formulas on values in [0, 1].
#pragma once

#include "view_plan.h"

namespace fctfast {

template <typename F>
FCT_HD F larger(F a, F b) {
  return a > b ? a : b;
}
template <typename F>
FCT_HD F smaller(F a, F b) {
  return a < b ? a : b;
}

// NaN becomes 0.
template <typename F>
FCT_HD F clamp01(F v) {
  const F zero = {};
  return smaller(larger(v, zero), zero + 1.0f);
}

template <typename F>
struct Colour {
  F r, g, b;
};

template <typename F>
FCT_HD F grey_of(const Colour<F>& x, bool colours) {
  return colours ? 0.2989f * x.r + 0.587f * x.g + 0.114f * x.b : x.r;
}

template <typename F>
FCT_HD Colour<F> blend(const Colour<F>& x, float factor, F other) {
  const F rest = (1.0f - factor) * other;
  return {clamp01(factor * x.r + rest), clamp01(factor * x.g + rest), clamp01(factor * x.b + rest)};
}

// One channel of the colour of this hue: `n` is 5, 3 and 1 for red, green and blue.
template <typename F>
FCT_HD F channel_of(F hue, float n, F most, F chroma) {
  const F zero = {}, six = zero + 6.0f, four = zero + 4.0f, one = zero + 1.0f;
  F k = hue + n;
  k = k >= six ? k - six : k;
  return most - chroma * larger(zero, smaller(smaller(k, four - k), one));
}

// Turns the hue by `turns` of a full circle: value and chroma stay.
template <typename F>
FCT_HD Colour<F> turn_hue(const Colour<F>& x, float turns) {
  const F zero = {}, six = zero + 6.0f, one = zero + 1.0f;
  const F most = larger(larger(x.r, x.g), x.b), least = smaller(smaller(x.r, x.g), x.b);
  const F chroma = most - least;
  const auto red = x.r == most, green = x.g == most;
  const F above = red ? x.g - x.b : green ? x.b - x.r : x.r - x.g;
  const F sector = red ? zero : green ? zero + 2.0f : zero + 4.0f;
  F hue = above / (chroma == zero ? one : chroma) + sector + 6.0f * turns;
  hue = hue < zero ? hue + six : hue;
  hue = hue >= six ? hue - six : hue;
  return {channel_of(hue, 5, most, chroma), channel_of(hue, 3, most, chroma),
          channel_of(hue, 1, most, chroma)};
}

// Step `number` of the plan's order; `mean` is the mean grey of the view before its contrast.
template <typename F>
FCT_HD Colour<F> colour_step(const Colour<F>& x, const ViewPlan& plan, int32_t number, float mean,
                             bool colours) {
  const F zero = {};
  switch (plan.step(number)) {
    case kStepBrightness: return blend(x, plan.brightness, zero);
    case kStepContrast: return blend(x, plan.contrast, zero + mean);
    case kStepSaturation: return colours ? blend(x, plan.saturation, grey_of(x, colours)) : x;
    default: return colours ? turn_hue(x, plan.hue) : x;
  }
}

// Greys are added up as whole numbers, so that their sum does not depend on its order.
constexpr float kGreySteps = 0x1p24f;

FCT_HD float mean_grey(int64_t sum, float scale) { return static_cast<float>(sum) * scale; }
inline float mean_grey_scale(int64_t pixels) {
  return static_cast<float>(1.0 / (static_cast<double>(kGreySteps) * static_cast<double>(pixels)));
}

}  // namespace fctfast
