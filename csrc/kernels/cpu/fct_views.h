// Normalised images and their rotated + shifted views, each output element written once.
//
// A sample is normalised once into a scratch of pixels (four channels side by side, one 16-byte
// load each) with the fill pixel behind the last one; every output row is then a list of scratch
// indices and a gather. The original is the same gather with the identity as its list.
#pragma once

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <vector>

#include "kernels.h"

// __builtin_shufflevector came to GCC with version 12.
#if defined(__clang__) || __GNUC__ >= 12
#define FCT_SHUFFLE4(u, v, ...) __builtin_shufflevector(u, v, __VA_ARGS__)
#else
#define FCT_SHUFFLE4(u, v, ...) \
  __builtin_shuffle(u, v, typename Order4<sizeof(u)>::type{__VA_ARGS__})
#endif

namespace fctfast::cpu {

template <size_t Bytes>
struct Order4 {
  typedef std::conditional_t<Bytes == 16, int32_t, int16_t> type __attribute__((vector_size(Bytes)));
};

constexpr int64_t kGroup = 4;   // channels held side by side
constexpr int64_t kBlock = 16;  // output pixels gathered at a time

template <typename E>
struct alignas(kGroup * sizeof(E)) Pixel {
  E channel[kGroup];
};

// out[c][i] = pixels[index[i]].channel[c]: planes `plane` elements apart.
template <typename E, int64_t N>
inline void gather_planes(const Pixel<E>* pixels, const int32_t* index, int64_t count, E* out,
                          int64_t plane) {
  int64_t i = 0;
  for (; i + kBlock <= count; i += kBlock) {
    E block[kGroup][kBlock];
    for (int64_t j = 0; j < kBlock; j += 4) {
      typedef E Quad __attribute__((vector_size(4 * sizeof(E))));
      Quad p0, p1, p2, p3;
      std::memcpy(&p0, &pixels[index[i + j]], sizeof p0);
      std::memcpy(&p1, &pixels[index[i + j + 1]], sizeof p1);
      std::memcpy(&p2, &pixels[index[i + j + 2]], sizeof p2);
      std::memcpy(&p3, &pixels[index[i + j + 3]], sizeof p3);
      const Quad low01 = FCT_SHUFFLE4(p0, p1, 0, 4, 1, 5);
      const Quad low23 = FCT_SHUFFLE4(p2, p3, 0, 4, 1, 5);
      const Quad high01 = FCT_SHUFFLE4(p0, p1, 2, 6, 3, 7);
      const Quad high23 = FCT_SHUFFLE4(p2, p3, 2, 6, 3, 7);
      const Quad c0 = FCT_SHUFFLE4(low01, low23, 0, 1, 4, 5);
      const Quad c1 = FCT_SHUFFLE4(low01, low23, 2, 3, 6, 7);
      const Quad c2 = FCT_SHUFFLE4(high01, high23, 0, 1, 4, 5);
      const Quad c3 = FCT_SHUFFLE4(high01, high23, 2, 3, 6, 7);
      std::memcpy(&block[0][j], &c0, sizeof c0);
      if (N > 1) std::memcpy(&block[1][j], &c1, sizeof c1);
      if (N > 2) std::memcpy(&block[2][j], &c2, sizeof c2);
      if (N > 3) std::memcpy(&block[3][j], &c3, sizeof c3);
    }
    for (int64_t c = 0; c < N; ++c) std::memcpy(out + c * plane + i, block[c], sizeof block[c]);
  }
  for (; i < count; ++i)
    for (int64_t c = 0; c < N; ++c) out[c * plane + i] = pixels[index[i]].channel[c];
}

// out[i * step + c] = pixels[index[i]].channel[c]
template <typename E, int64_t N>
inline void gather_pixels(const Pixel<E>* pixels, const int32_t* index, int64_t count, E* out,
                          int64_t step) {
  for (int64_t i = 0; i < count; ++i)
    std::memcpy(out + i * step, pixels[index[i]].channel, N * sizeof(E));
}

template <typename E>
struct Sampler {
  const FctViewsArgs& args;
  int64_t pixel_count;
  std::vector<Pixel<E>> scratch;
  std::vector<int32_t> index;
  std::vector<E> table;

  explicit Sampler(const FctViewsArgs& a)
      : args(a),
        pixel_count(a.height * a.width),
        scratch(static_cast<size_t>(pixel_count + 1)),
        index(static_cast<size_t>(a.width)),
        table(static_cast<size_t>(a.channels * 256)) {
    for (int64_t i = 0; i < a.channels * 256; ++i) {
      if constexpr (sizeof(E) == 4) {
        std::memcpy(&table[i], &a.table[i], 4);
      } else {
        table[i] = a.kind == ScalarKind::f16 ? narrow<Half>(a.table[i]).bits
                                             : narrow<BFloat16>(a.table[i]).bits;
      }
    }
  }

  void load_group(int64_t sample, int64_t first, int64_t channels) {
    const uint8_t* image = args.images + sample * args.stride_n + first * args.stride_c;
    const E* values[kGroup];
    int64_t offset[kGroup];
    for (int64_t c = 0; c < kGroup; ++c) {
      const int64_t used = std::min(c, channels - 1);
      values[c] = table.data() + (first + used) * 256;
      offset[c] = used * args.stride_c;
    }
    Pixel<E>* pixel = scratch.data();
    for (int64_t y = 0; y < args.height; ++y) {
      const uint8_t* row = image + y * args.stride_y;
      for (int64_t x = 0; x < args.width; ++x, row += args.stride_x, ++pixel)
        for (int64_t c = 0; c < kGroup; ++c) pixel->channel[c] = values[c][row[offset[c]]];
    }
    for (int64_t c = 0; c < kGroup; ++c) pixel->channel[c] = values[c][0];
  }

  template <int64_t N>
  void emit_row(int64_t view, int64_t first, int64_t y) {
    E* out = static_cast<E*>(args.out) + view * args.channels * pixel_count;
    if (args.channels_last) {
      gather_pixels<E, N>(scratch.data(), index.data(), args.width,
                          out + y * args.width * args.channels + first, args.channels);
    } else {
      gather_planes<E, N>(scratch.data(), index.data(), args.width,
                          out + first * pixel_count + y * args.width, pixel_count);
    }
  }

  template <int64_t N>
  void run_group(int64_t sample, int64_t first) {
    load_group(sample, first, N);
    const int32_t width = static_cast<int32_t>(args.width);
    const int32_t height = static_cast<int32_t>(args.height);
    const int32_t fill = static_cast<int32_t>(pixel_count);
    int32_t* list = index.data();
    if (args.originals) {
      for (int32_t y = 0; y < height; ++y) {
        for (int32_t x = 0; x < width; ++x) list[x] = y * width + x;
        emit_row<N>(sample, first, y);
      }
    }
    for (int64_t draw = 0; draw < args.draws; ++draw) {
      const NearestCoefficients k = args.nearest[draw * args.batch + sample];
      const int64_t view = (draw + (args.originals ? 1 : 0)) * args.batch + sample;
      for (int32_t y = 0; y < height; ++y) {
        for (int32_t x = 0; x < width; ++x) {
          const Source s = nearest_source(k, x, y, height, width);
          list[x] = s.valid ? s.y * width + s.x : fill;
        }
        emit_row<N>(view, first, y);
      }
    }
  }

  void run(int64_t sample) {
    int64_t first = 0;
    for (; first + kGroup <= args.channels; first += kGroup) run_group<kGroup>(sample, first);
    switch (args.channels - first) {
      case 1: run_group<1>(sample, first); break;
      case 2: run_group<2>(sample, first); break;
      case 3: run_group<3>(sample, first); break;
      default: break;
    }
  }
};

}  // namespace fctfast::cpu
