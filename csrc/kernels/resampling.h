// Resizing along one axis with antialiasing as torch has it: a triangle that reaches one input to
// either side of an output's centre, or one output if outputs lie further apart.
//
// In units of 1 / (2 outputs) of an input all distances are whole numbers, which float32 holds
// exactly: CPU and CUDA weigh alike bit for bit, and no table of weights has to travel.
#pragma once

#include <cmath>

#include "divider.h"

namespace fctfast {

constexpr float kByte = 1.0f / 255.0f;  // of an image scaled to [0, 1]

struct Axis {
  int32_t outputs;
  Divider spacing;  // of two inputs, in units
};

inline Axis make_axis(int64_t outputs) {
  return {static_cast<int32_t>(outputs), make_divider(2 * outputs)};
}

// What one output is made of: `count` inputs from `first` on. Their weights are to be divided by
// their total.
struct AxisTaps {
  int32_t first, count;
  float distance, spacing, reach;  // of the first input's centre from the output's, in units

  FCT_HD float weight(float away) const { return reach - fabsf(away); }
  FCT_HD float total() const {
    float sum = 0, away = distance;
    for (int32_t t = 0; t < count; ++t, away += spacing) sum += weight(away);
    return sum;
  }
};

// Sides of at most kMaxSide: all of it stays below 2^31.
FCT_HD AxisTaps taps_of(const Axis& axis, int32_t inputs, int32_t output) {
  const int32_t reach = 2 * (inputs > axis.outputs ? inputs : axis.outputs);
  const int32_t centre = inputs * (2 * output + 1);
  const int32_t low = centre - reach + axis.outputs;
  const int32_t first = static_cast<int32_t>(axis.spacing.quotient(low > 0 ? low : 0));
  const int32_t last = static_cast<int32_t>(axis.spacing.quotient(centre + reach + axis.outputs));
  const int32_t distance = (2 * first + 1) * axis.outputs - centre;
  return {first, (last < inputs ? last : inputs) - first, static_cast<float>(distance),
          static_cast<float>(2 * axis.outputs), static_cast<float>(reach)};
}

}  // namespace fctfast
