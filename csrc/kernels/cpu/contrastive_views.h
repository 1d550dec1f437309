// The two-view augmentation of contrastive learning from bytes: crop and resize with antialiasing,
// flip, colour jitter, grey, normalise.
//
// A view is resized into planes of floats first. Its pixels are then walked in runs that stay in
// the nearest cache: once for everything, or, where a contrast is drawn, once up to it (contrast
// needs the mean grey of what came before) and once from there on.
#pragma once

#include <algorithm>
#include <vector>

#include "../colour.h"
#include "../resampling.h"
#include "kernels.h"
#include "lanes.h"

namespace fctfast::cpu {

// Pixels side by side, as many as a register holds: colours are made by comparisons and choices,
// and GCC takes those of wider vectors apart, one number at a time.
using Floats = Register<float>::Vector;
using Integers = Register<int32_t>::Vector;
constexpr int64_t kPixels = Register<float>::kCount;
// Three planes of a run are 3 to 12 KB, and 64 greys of up to kGreySteps stay below 2^31.
constexpr int64_t kColourRun = 64 * kPixels;

inline Floats load_pixels(const float* p) {
  Floats v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
inline void store_pixels(float* p, Floats v) { __builtin_memcpy(p, &v, sizeof v); }

// The taps of every output along one axis, as many for each, so that outputs side by side are made
// together.
struct Resampling {
  Axis axis;
  int64_t taps = 0;
  std::vector<int32_t> first;
  std::vector<float> weight;  // [tap][output]
  std::vector<float> scale;   // [output], 1 / total

  // Room for `most_inputs`. The vectors never grow: what grows one is a function of its own, which
  // this library would export.
  Resampling(int64_t most_inputs, int64_t outputs)
      : axis(make_axis(outputs)),
        first(static_cast<size_t>(outputs)),
        weight(static_cast<size_t>(taps_in(most_inputs) * outputs)),
        scale(static_cast<size_t>(outputs)) {}

  int64_t taps_in(int64_t inputs) const {
    const int64_t reach = inputs > axis.outputs ? (inputs - 1) / axis.outputs + 1 : 1;
    return std::min(inputs, 2 * reach + 1);
  }

  void make(int32_t inputs, bool mirrored) {
    taps = taps_in(inputs);
    for (int32_t i = 0; i < axis.outputs; ++i) {
      const AxisTaps t = taps_of(axis, inputs, i);
      const size_t place = static_cast<size_t>(mirrored ? axis.outputs - 1 - i : i);
      // All taps lie inside: those too many, at the far end, have no weight.
      const int32_t from = std::min(t.first, inputs - static_cast<int32_t>(taps));
      first[place] = from;
      scale[place] = 1.0f / t.total();
      float* w = weight.data() + place;
      for (int64_t j = from; j < from + taps; ++j, w += axis.outputs) {
        const int64_t number = j - t.first;
        const bool taken = number >= 0 && number < t.count;
        *w = taken ? t.weight(t.distance + t.spacing * static_cast<float>(number)) : 0.0f;
      }
    }
  }
};

template <typename T>
class ContrastiveView {
 public:
  explicit ContrastiveView(const ContrastiveViewsArgs& a)
      : a_(a),
        plane_((a.out_height * a.out_width + kPixels - 1) / kPixels * kPixels),
        planes_(static_cast<size_t>(a.channels * plane_)),
        row_(static_cast<size_t>(a.channels * a.width)),
        rows_(static_cast<size_t>(a.channels * a.height * a.out_width)),
        scale_(static_cast<size_t>(a.channels)),
        across_(a.width, a.out_width),
        down_(a.height, a.out_height) {
    for (int64_t c = 0; c < a.channels; ++c) scale_[static_cast<size_t>(c)] = 1.0f / a.std[c];
  }

  void make(int64_t view) {
    const ViewPlan plan = view_plan(a_.params + view * kContrastiveWords, a_.height, a_.width);
    resize(view % a_.batch, plan);
    const int64_t pixels = a_.out_height * a_.out_width;
    float mean = 0;
    if (plan.mean_at < plan.steps) {
      int64_t total = 0;
      for (int64_t i = 0; i < pixels; i += kColourRun)
        total += walk(i, std::min(kColourRun, pixels - i), plan, 0, plan.mean_at, mean);
      mean = mean_grey(total, mean_grey_scale(pixels));
    }
    for (int64_t i = 0; i < pixels; i += kColourRun) {
      const int64_t count = std::min(kColourRun, pixels - i);
      if (plan.steps > 0) walk(i, count, plan, plan.mean_at, plan.steps, mean);
      if (plan.grey && a_.channels == 3) drain(i, count);
      write(view, i, count);
    }
  }

 private:
  float* plane(int64_t c) { return planes_.data() + c * plane_; }

  void resize(int64_t sample, const ViewPlan& plan) {
    const int64_t top = plan.top, left = plan.left, height = plan.height, width = plan.width;
    across_.make(plan.width, plan.flip);
    down_.make(plan.height, false);
    const uint8_t* image = a_.images + sample * a_.stride_n + left * a_.stride_x;
    for (int64_t y = 0; y < height; ++y) {
      const uint8_t* in = image + (top + y) * a_.stride_y;
      for (int64_t c = 0; c < a_.channels; ++c) {
        float* line = row_.data() + c * a_.width;
        for (int64_t x = 0; x < width; ++x) line[x] = in[x * a_.stride_x + c * a_.stride_c];
        float* out = rows_.data() + (c * a_.height + y) * a_.out_width;
        const int32_t* first = across_.first.data();
        const float* weight = across_.weight.data();
        for (int64_t x = 0; x < a_.out_width; ++x) out[x] = weight[x] * line[first[x]];
        for (int64_t t = 1; t < across_.taps; ++t) {
          weight += a_.out_width;
          for (int64_t x = 0; x < a_.out_width; ++x) out[x] += weight[x] * line[first[x] + t];
        }
      }
    }
    for (int64_t c = 0; c < a_.channels; ++c)
      for (int64_t y = 0; y < a_.out_height; ++y) {
        float* out = plane(c) + y * a_.out_width;
        const float* in =
            rows_.data() + (c * a_.height + down_.first[static_cast<size_t>(y)]) * a_.out_width;
        std::fill(out, out + a_.out_width, 0.0f);
        for (int64_t t = 0; t < down_.taps; ++t, in += a_.out_width) {
          const float weight = down_.weight[static_cast<size_t>(t * a_.out_height + y)];
          for (int64_t x = 0; x < a_.out_width; ++x) out[x] += weight * in[x];
        }
        // Weights are whole numbers, and so are bytes: up to here the sums of small images are
        // exact.
        const float scale = down_.scale[static_cast<size_t>(y)] * kByte;
        const float* scales = across_.scale.data();
        for (int64_t x = 0; x < a_.out_width; ++x) out[x] *= scales[x] * scale;
      }
  }

  // Steps [begin, end) on `count` pixels; returns the sum of their greys afterwards, in kGreySteps.
  int64_t walk(int64_t start, int64_t count, const ViewPlan& plan, int begin, int end, float mean) {
    Integers greys = {}, number = {};
    for (int32_t k = 0; k < kPixels; ++k) number[k] = k;
    const bool colours = a_.channels == 3;
    for (int64_t i = start; i < start + count; i += kPixels) {
      Colour<Floats> x;
      x.r = load_pixels(plane(0) + i);
      x.g = colours ? load_pixels(plane(1) + i) : x.r;
      x.b = colours ? load_pixels(plane(2) + i) : x.r;
      for (int step = begin; step < end; ++step) x = colour_step(x, plan, step, mean, colours);
      store_pixels(plane(0) + i, x.r);
      if (colours) {
        store_pixels(plane(1) + i, x.g);
        store_pixels(plane(2) + i, x.b);
      }
      const Integers inside = number < static_cast<int32_t>(start + count - i);
      greys += inside & __builtin_convertvector(grey_of(x, colours) * kGreySteps, Integers);
    }
    int64_t total = 0;  // one lane of a run stays below 2^31, all of them do not
    for (int64_t k = 0; k < kPixels; ++k) total += greys[k];
    return total;
  }

  void drain(int64_t start, int64_t count) {
    for (int64_t i = start; i < start + count; i += kPixels) {
      const Floats grey = grey_of<Floats>(
          {load_pixels(plane(0) + i), load_pixels(plane(1) + i), load_pixels(plane(2) + i)}, true);
      for (int64_t c = 0; c < 3; ++c) store_pixels(plane(c) + i, grey);
    }
  }

  void write(int64_t view, int64_t start, int64_t count) {
    const int64_t pixels = a_.out_height * a_.out_width;
    T* out = static_cast<T*>(a_.out) + view * a_.channels * pixels;
    for (int64_t c = 0; c < a_.channels; ++c) {
      const float* in = plane(c) + start;
      const float mean = a_.mean[c], scale = scale_[static_cast<size_t>(c)];
      T* to = a_.channels_last ? out + start * a_.channels + c : out + c * pixels + start;
      const int64_t step = a_.channels_last ? a_.channels : 1;
      for (int64_t i = 0; i < count; ++i) to[i * step] = narrow<T>((in[i] - mean) * scale);
    }
  }

  const ContrastiveViewsArgs& a_;
  int64_t plane_;
  std::vector<float> planes_, row_, rows_, scale_;
  Resampling across_, down_;
};

template <typename T>
void contrastive_views(const ContrastiveViewsArgs& a, int64_t begin, int64_t end) {
  ContrastiveView<T> view(a);
  for (int64_t i = begin; i < end; ++i) view.make(i);
}

}  // namespace fctfast::cpu
