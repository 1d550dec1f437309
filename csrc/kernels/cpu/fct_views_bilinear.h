// Bilinear views: each output pixel samples the composed map once.
#pragma once

#include "bilinear.h"
#include "fct_views.h"

namespace fctfast::cpu {

// T is the output's element type. Behind the last pixel of the scratch lies the fill, which taps
// outside the image take.
template <typename T>
struct BilinearViews {
  const FctViewsArgs& args;
  int64_t pixel_count;
  std::vector<float> plane;

  explicit BilinearViews(const FctViewsArgs& a)
      : args(a), pixel_count(a.height * a.width), plane(static_cast<size_t>(pixel_count + 1)) {}

  void run_channel(int64_t sample, int64_t channel) {
    const uint8_t* image = args.images + sample * args.stride_n + channel * args.stride_c;
    float values[256];
    for (uint32_t b = 0; b < 256; ++b)
      values[b] = normalised<false>(b, args.mean[channel], args.std[channel], 1.0f);
    const int64_t step = args.channels_last ? args.channels : 1;
    const int64_t offset = args.channels_last ? channel : channel * pixel_count;
    T* out = static_cast<T*>(args.out) + offset;
    const int64_t view_size = args.channels * pixel_count;
    for (int64_t y = 0, i = 0; y < args.height; ++y)
      for (int64_t x = 0; x < args.width; ++x, ++i) {
        const float value = values[image[y * args.stride_y + x * args.stride_x]];
        plane[i] = value;
        if (args.originals) out[sample * view_size + i * step] = narrow<T>(value);
      }
    plane[pixel_count] = values[0];
    for (int64_t draw = 0; draw < args.draws; ++draw) {
      const BilinearCoefficients k = args.bilinear[draw * args.batch + sample];
      T* view = out + ((draw + (args.originals ? 1 : 0)) * args.batch + sample) * view_size;
      for (int64_t y = 0, i = 0; y < args.height; ++y)
        for (int64_t x = 0; x < args.width; ++x, ++i) {
          const auto taps = bilinear_taps<float>(k, x, y, args.height, args.width,
                                                 static_cast<int32_t>(pixel_count));
          float value = 0.0f;
          for (int t = 0; t < 4; ++t) value += taps.weight[t] * plane[taps.index[t]];
          view[i * step] = narrow<T>(value);
        }
    }
  }

  void sample(int64_t sample) {
    for (int64_t c = 0; c < args.channels; ++c) run_channel(sample, c);
  }
};

template <typename Views>
void run_views(const FctViewsArgs& args, int64_t begin, int64_t end) {
  Views views(args);
  for (int64_t sample = begin; sample < end; ++sample) views.sample(sample);
}

template <template <typename> class Views>
void run_kind(const FctViewsArgs& args, int64_t begin, int64_t end) {
  if (args.kind == ScalarKind::f32) return run_views<Views<float>>(args, begin, end);
  if (args.kind == ScalarKind::f16) return run_views<Views<Half>>(args, begin, end);
  return run_views<Views<BFloat16>>(args, begin, end);
}

inline void fct_views(const FctViewsArgs& args, int64_t begin, int64_t end) {
  if (args.bilinear != nullptr) return run_kind<BilinearViews>(args, begin, end);
  return run_kind<NearestViews>(args, begin, end);
}

}  // namespace fctfast::cpu
