// What one row of contrastive_views' params asks for.
#pragma once

#include "args.h"

namespace fctfast {

enum ColourStep : uint32_t { kStepBrightness, kStepContrast, kStepSaturation, kStepHue };

struct ViewPlan {
  int32_t top, left, height, width;  // inside the image
  bool flip, grey;
  int32_t steps;    // of the colours: 0 or 4
  int32_t mean_at;  // the step before which the mean grey is needed; `steps`: never
  uint32_t order;   // two bits a step, the first one lowest
  float brightness, contrast, saturation, hue;

  FCT_HD uint32_t step(int32_t number) const { return (order >> (2 * number)) & 3u; }
};

// The permutation of 0 to 3 with this number in lexical order, packed.
FCT_HD uint32_t packed_order(uint32_t number) {
  uint32_t left = 0xE4, order = 0;  // 0 to 3, two bits each
  for (uint32_t k = 0, size = 6; k < 4; ++k) {
    const uint32_t at = 2 * (number / size);
    order |= ((left >> at) & 3u) << (2 * k);
    left = (left & ((1u << at) - 1u)) | ((left >> (at + 2)) << at);
    number %= size;
    size = k == 0 ? 2 : 1;
  }
  return order;
}

// NaN becomes `low`.
FCT_HD int32_t moved_between(float value, int32_t low, int32_t high) {
  if (!(value > static_cast<float>(low))) return low;
  return value < static_cast<float>(high) ? static_cast<int32_t>(value) : high;
}

// Rows that lie on a device cannot be checked without waiting for it: what they ask for is moved
// inside the image, whatever it is, and a hue to half a turn.
FCT_HD ViewPlan view_plan(const float* p, int64_t image_height, int64_t image_width) {
  const int32_t height = static_cast<int32_t>(image_height);
  const int32_t width = static_cast<int32_t>(image_width);
  ViewPlan v;
  v.top = moved_between(p[kTop], 0, height - 1);
  v.left = moved_between(p[kLeft], 0, width - 1);
  v.height = moved_between(p[kCropHeight], 1, height - v.top);
  v.width = moved_between(p[kCropWidth], 1, width - v.left);
  v.flip = p[kFlip] != 0;
  v.grey = p[kGrey] != 0;
  v.steps = p[kJitter] != 0 ? 4 : 0;
  v.order = packed_order(static_cast<uint32_t>(moved_between(p[kOrder], 0, 23)));
  v.mean_at = 0;
  while (v.mean_at < v.steps && v.step(v.mean_at) != kStepContrast) ++v.mean_at;
  v.brightness = p[kBrightness];
  v.contrast = p[kContrast];
  v.saturation = p[kSaturation];
  v.hue = p[kHue] >= -.5f ? (p[kHue] <= .5f ? p[kHue] : .5f) : -.5f;
  return v;
}

}  // namespace fctfast
