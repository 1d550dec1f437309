// The two-view augmentation of contrastive learning from bytes: crop and resize with antialiasing,
// flip, colour jitter, grey, normalise.
//
// A view is resized into planes of floats first. Its pixels are then walked in runs that stay in
// the nearest cache: once for everything, or, where a contrast is drawn, once up to it (contrast
// needs the mean grey of what came before) and once from there on.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels.h"
#include "lanes.h"
#include "normalise.h"

namespace fctfast::cpu {

using Floats = Lanes<float>::Vector;
constexpr int64_t kColourRun = 1024;  // pixels; three planes of them are 12 KB

// Which inputs each output position is made of, along one axis: `taps` of them from first[i] on.
struct Resampling {
  int64_t outputs, taps = 0;
  std::vector<int32_t> first;
  std::vector<float> weight;  // [tap][position]
  std::vector<double> part;   // of one position

  // Room for `most_inputs`. The vectors never grow: what grows one is a function of its own, which
  // this library would export.
  Resampling(int64_t most_inputs, int64_t positions)
      : outputs(positions),
        first(static_cast<size_t>(outputs)),
        weight(static_cast<size_t>(taps_of(most_inputs) * outputs)),
        part(static_cast<size_t>(taps_of(most_inputs))) {}

  int64_t taps_of(int64_t inputs) const {
    const double scale = static_cast<double>(inputs) / static_cast<double>(outputs);
    return std::min<int64_t>(inputs, static_cast<int64_t>(std::ceil(std::max(scale, 1.0))) * 2 + 1);
  }

  // As torch has it: a triangle as wide as two inputs, or two outputs if those are further apart.
  // `gain` multiplies.
  void make(int64_t inputs, bool mirrored, double gain) {
    const double scale = static_cast<double>(inputs) / static_cast<double>(outputs);
    const double reach = std::max(scale, 1.0);
    taps = taps_of(inputs);
    for (int64_t i = 0; i < outputs; ++i) {
      const double centre = scale * (static_cast<double>(i) + 0.5);
      const int64_t begin = std::max<int64_t>(static_cast<int64_t>(centre - reach + 0.5), 0);
      const int64_t end = std::min<int64_t>(static_cast<int64_t>(centre + reach + 0.5), inputs);
      // All taps lie inside: those too many, at the far end, have no weight.
      const int64_t from = std::min(begin, inputs - taps);
      double total = 0;
      for (int64_t t = 0; t < taps; ++t) {
        const int64_t j = from + t;
        const double far = std::abs((static_cast<double>(j) + 0.5 - centre) / reach);
        part[static_cast<size_t>(t)] = j >= begin && j < end && far < 1 ? 1 - far : 0.0;
        total += part[static_cast<size_t>(t)];
      }
      const int64_t place = mirrored ? outputs - 1 - i : i;
      first[static_cast<size_t>(place)] = static_cast<int32_t>(from);
      for (int64_t t = 0; t < taps; ++t)
        weight[static_cast<size_t>(t * outputs + place)] =
            static_cast<float>(part[static_cast<size_t>(t)] / total * gain);
    }
  }
};

inline Floats clamp01(Floats v) {
  const Floats zero = {}, one = zero + 1.0f;
  v = v > zero ? v : zero;
  return v < one ? v : one;
}
inline Floats larger(Floats a, Floats b) { return a > b ? a : b; }
inline Floats smaller(Floats a, Floats b) { return a < b ? a : b; }

struct Pixels {
  Floats r, g, b;
  Floats grey() const { return 0.2989f * r + 0.587f * g + 0.114f * b; }
};

// Turns the hue by `turns` of a full circle: value and chroma stay.
inline Pixels turn_hue(const Pixels& p, float turns) {
  const Floats zero = {}, six = zero + 6.0f, four = zero + 4.0f, one = zero + 1.0f;
  const Floats most = larger(larger(p.r, p.g), p.b), least = smaller(smaller(p.r, p.g), p.b);
  const Floats chroma = most - least;
  const auto red = p.r == most, green = p.g == most;
  const Floats above = red ? p.g - p.b : green ? p.b - p.r : p.r - p.g;
  const Floats sector = red ? zero : green ? zero + 2.0f : four;
  Floats h = above / (chroma == zero ? one : chroma) + sector + 6.0f * turns;
  h = h < zero ? h + six : h;
  h = h >= six ? h - six : h;
  const auto channel = [&](float n) {
    Floats k = h + n;
    k = k >= six ? k - six : k;
    return most - chroma * larger(zero, smaller(smaller(k, four - k), one));
  };
  return {channel(5), channel(3), channel(1)};
}

template <typename T>
class ContrastiveView {
 public:
  explicit ContrastiveView(const ContrastiveViewsArgs& a)
      : a_(a),
        plane_((a.out_height * a.out_width + 15) / 16 * 16),
        planes_(static_cast<size_t>(a.channels * plane_)),
        row_(static_cast<size_t>(a.channels * a.width)),
        rows_(static_cast<size_t>(a.channels * a.height * a.out_width)),
        scale_(static_cast<size_t>(a.channels)),
        across_(a.width, a.out_width),
        down_(a.height, a.out_height) {
    for (int64_t c = 0; c < a.channels; ++c) scale_[static_cast<size_t>(c)] = 1.0f / a.std[c];
  }

  void make(int64_t view) {
    const float* p = a_.params + view * kContrastiveWords;
    resize(view % a_.batch, p);
    const bool jitter = p[kJitter] != 0, grey = p[kGrey] != 0;
    int order[4];
    permutation(static_cast<int>(p[kOrder]), order);
    const int contrast = jitter ? static_cast<int>(std::find(order, order + 4, 1) - order) : 4;
    const int64_t pixels = a_.out_height * a_.out_width;
    float mean = 0;
    if (jitter) {
      double total = 0;
      for (int64_t i = 0; i < pixels; i += kColourRun)
        total += walk(i, std::min(kColourRun, pixels - i), p, order, 0, contrast, mean);
      mean = static_cast<float>(total / static_cast<double>(pixels));
    }
    for (int64_t i = 0; i < pixels; i += kColourRun) {
      const int64_t count = std::min(kColourRun, pixels - i);
      if (jitter) walk(i, count, p, order, contrast, 4, mean);
      if (grey && a_.channels == 3) drain(i, count);
      write(view, i, count);
    }
  }

 private:
  float* plane(int64_t c) { return planes_.data() + c * plane_; }

  void resize(int64_t sample, const float* p) {
    const int64_t top = static_cast<int64_t>(p[kTop]),
                  height = static_cast<int64_t>(p[kCropHeight]);
    const int64_t left = static_cast<int64_t>(p[kLeft]),
                  width = static_cast<int64_t>(p[kCropWidth]);
    across_.make(width, p[kFlip] != 0, 1.0);
    down_.make(height, false, 1.0 / 255);
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
      }
  }

  static void permutation(int number, int (&order)[4]) {
    int left[4] = {0, 1, 2, 3};
    for (int i = 0, size = 6; i < 4; ++i) {
      const int k = number / size;
      order[i] = left[k];
      std::copy(left + k + 1, left + 4, left + k);
      number %= size;
      size = i < 2 ? size / (3 - i) : 1;
    }
  }

  // Steps [begin, end) of the order on `count` pixels; returns the sum of their greys afterwards.
  double walk(int64_t start, int64_t count, const float* p, const int (&order)[4], int begin,
              int end, float mean) {
    Lanes<float> greys;
    const bool colours = a_.channels == 3;
    for (int64_t i = start; i < start + count; i += 16) {
      Pixels x;
      x.r = load_lanes(plane(0) + i);
      x.g = colours ? load_lanes(plane(1) + i) : x.r;
      x.b = colours ? load_lanes(plane(2) + i) : x.r;
      for (int step = begin; step < end; ++step) switch (order[step]) {
          case 0: x = blend(x, p[kBrightness], Floats{}); break;
          case 1: x = blend(x, p[kContrast], Floats{} + mean); break;
          case 2: x = colours ? blend(x, p[kSaturation], x.grey()) : x; break;
          default: x = colours ? turn_hue(x, p[kHue]) : x;
        }
      store_lanes(plane(0) + i, x.r);
      if (colours) {
        store_lanes(plane(1) + i, x.g);
        store_lanes(plane(2) + i, x.b);
      }
      const Floats grey = colours ? x.grey() : x.r;
      greys.value += i + 16 <= start + count ? grey : LaneMask<float>(0, start + count - i)(grey);
    }
    return greys.total();
  }

  static Pixels blend(const Pixels& x, float factor, const Floats& other) {
    const Floats rest = (1.0f - factor) * other;
    return {clamp01(factor * x.r + rest), clamp01(factor * x.g + rest),
            clamp01(factor * x.b + rest)};
  }

  void drain(int64_t start, int64_t count) {
    for (int64_t i = start; i < start + count; i += 16) {
      const Floats grey =
          Pixels{load_lanes(plane(0) + i), load_lanes(plane(1) + i), load_lanes(plane(2) + i)}
              .grey();
      for (int64_t c = 0; c < 3; ++c) store_lanes(plane(c) + i, grey);
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
