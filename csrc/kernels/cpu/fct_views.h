// Normalised images and their rotated + shifted views, each output element written once.
//
// A sample is packed once into pixels of four bytes with a zero pixel (the fill) behind the last.
// Each run of output rows is first gathered as packed pixels into a buffer that stays in L1, then
// written channel by channel, normalised by arithmetic. The original skips the gather.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels.h"
#include "normalise.h"

namespace fctfast::cpu {

constexpr int64_t kGroup = 4;         // channels in a packed pixel
constexpr int64_t kRunPixels = 1024;  // about 4 KB of gathered pixels

// packed[i] = bytes 3 i .. 3 i + 2: four pixels from each 16-byte load.
inline int64_t pack_three(const uint8_t* in, int64_t count, uint32_t* packed) {
  int64_t i = 0;
#if defined(__SSSE3__)
  const __m128i order = _mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1);
  for (; 3 * i + 16 <= 3 * count; i += 4) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in + 3 * i));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(packed + i), _mm_shuffle_epi8(bytes, order));
  }
#else
  (void)in, (void)count, (void)packed;
#endif
  return i;
}

// gathered[x] = the pixel that output (x, y) takes, for one row.
inline void gather_row(const uint32_t* packed, const NearestCoefficients& k, int32_t y,
                       int32_t height, int32_t width, uint32_t* gathered) {
  int32_t x = 0;
#if defined(__AVX512F__)
  const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512i w = _mm512_set1_epi32(width), h = _mm512_set1_epi32(height);
  const uint32_t v = static_cast<uint32_t>(y - k.dy);
  const __mmask16 row = v < static_cast<uint32_t>(height) ? 0xFFFF : 0;
  const uint32_t x0 = static_cast<uint32_t>(k.x0) + static_cast<uint32_t>(k.xy) * v;
  const uint32_t y0 = static_cast<uint32_t>(k.y0) + static_cast<uint32_t>(k.yy) * v;
  for (; x + 16 <= width; x += 16) {
    const __m512i u = _mm512_add_epi32(_mm512_set1_epi32(x - k.dx), lane);
    const __m512i sx =
        _mm512_srai_epi32(_mm512_add_epi32(_mm512_set1_epi32(static_cast<int32_t>(x0)),
                                           _mm512_mullo_epi32(u, _mm512_set1_epi32(k.xx))),
                          16);
    const __m512i sy =
        _mm512_srai_epi32(_mm512_add_epi32(_mm512_set1_epi32(static_cast<int32_t>(y0)),
                                           _mm512_mullo_epi32(u, _mm512_set1_epi32(k.yx))),
                          16);
    __mmask16 valid = _mm512_mask_cmplt_epu32_mask(row, u, w);
    valid = _mm512_mask_cmplt_epu32_mask(valid, sx, w);
    valid = _mm512_mask_cmplt_epu32_mask(valid, sy, h);
    const __m512i index = _mm512_add_epi32(_mm512_mullo_epi32(sy, w), sx);
    _mm512_storeu_si512(
        gathered + x, _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), valid, index, packed, 4));
  }
#endif
  const uint32_t fill = static_cast<uint32_t>(height) * static_cast<uint32_t>(width);
  for (; x < width; ++x) {
    const Source s = nearest_source(k, x, y, height, width);
    gathered[x] = packed[s.valid ? static_cast<uint32_t>(s.y * width + s.x) : fill];
  }
}

template <typename T>
struct NearestViews {
  const FctViewsArgs& args;
  int64_t plane;
  std::vector<uint32_t> packed, run;
  std::vector<Normaliser> normalisers;
  RepeatedNormaliser repeated;

  explicit NearestViews(const FctViewsArgs& a)
      : args(a),
        plane(a.height * a.width),
        packed(static_cast<size_t>(plane + 1)),
        run(static_cast<size_t>(std::max(kRunPixels, a.width))) {
    for (int64_t c = 0; c < a.channels; ++c)
      normalisers.push_back(make_normaliser(a.mean[c], a.std[c]));
    if (a.channels_last && a.channels <= kGroup) repeated = repeat(normalisers);
  }

  void pack(int64_t sample, int64_t first, int64_t channels) {
    const uint8_t* image = args.images + sample * args.stride_n + first * args.stride_c;
    uint32_t* out = packed.data();
    const bool rgb = channels == 3 && args.stride_x == 3 && args.stride_c == 1;
    for (int64_t y = 0; y < args.height; ++y, out += args.width) {
      const uint8_t* row = image + y * args.stride_y;
      int64_t x = rgb ? pack_three(row, args.width, out) : 0;
      for (; x < args.width; ++x) {
        uint32_t pixel = 0;
        for (int64_t c = 0; c < channels; ++c)
          pixel |= uint32_t{row[x * args.stride_x + c * args.stride_c]} << (8 * c);
        out[x] = pixel;
      }
    }
    *out = 0;
  }

  // `count` pixels to positions from `offset` on of one view.
  void write(const uint32_t* pixels, int64_t count, int64_t view, int64_t offset, int64_t first,
             int64_t channels) {
    if (!args.channels_last) return write_planes(pixels, count, view, offset, first, channels);
    T* out = static_cast<T*>(args.out) + (view * plane + offset) * args.channels;
    if (args.channels == channels) return write_interleaved(pixels, count, out);
    for (int64_t i = 0; i < count; ++i)
      for (int64_t c = first; c < first + channels; ++c)
        out[i * args.channels + c] =
            narrow<T>(normalisers[static_cast<size_t>(c)].template value<false>(
                (pixels[i] >> (8 * (c - first))) & 255u));
  }

  void write_planes(const uint32_t* pixels, int64_t count, int64_t view, int64_t offset,
                    int64_t first, int64_t channels) {
    T* out = static_cast<T*>(args.out) + view * args.channels * plane;
    for (int64_t c = 0; c < channels; ++c) {
      const Normaliser& n = normalisers[static_cast<size_t>(first + c)];
      const auto byte = [=](int64_t i) { return (pixels[i] >> (8 * c)) & 255u; };
      T* to = out + (first + c) * plane + offset;
      n.exact ? normalise_run<true>(n, count, to, byte) : normalise_run<false>(n, count, to, byte);
    }
  }

  // Up to four channels side by side: the bytes are squeezed together and normalised as one run
  // whose constants repeat every `channels` positions.
  void write_interleaved(const uint32_t* pixels, int64_t count, T* out) {
    const int64_t channels = args.channels;
    for (int64_t done = 0; done < count; done += kPeriod) {
      const int64_t size = std::min(kPeriod, count - done);
      uint8_t bytes[kPeriod * kGroup + 4];
      for (int64_t i = 0; i < size; ++i)
        std::memcpy(bytes + i * channels, &pixels[done + i], kGroup);  // the next one overlaps
      T* to = out + done * channels;
      repeated.exact ? normalise_repeated<true>(repeated, bytes, size * channels, to)
                     : normalise_repeated<false>(repeated, bytes, size * channels, to);
    }
  }

  void run_group(int64_t sample, int64_t first, int64_t channels) {
    pack(sample, first, channels);
    if (args.originals) write(packed.data(), plane, sample, 0, first, channels);
    const int64_t rows = std::max<int64_t>(1, kRunPixels / args.width);
    for (int64_t draw = 0; draw < args.draws; ++draw) {
      const NearestCoefficients k = args.nearest[draw * args.batch + sample];
      const int64_t view = (draw + (args.originals ? 1 : 0)) * args.batch + sample;
      for (int64_t y = 0; y < args.height; y += rows) {
        const int64_t count = std::min(rows, args.height - y);
        for (int64_t r = 0; r < count; ++r)
          gather_row(packed.data(), k, static_cast<int32_t>(y + r),
                     static_cast<int32_t>(args.height), static_cast<int32_t>(args.width),
                     run.data() + r * args.width);
        write(run.data(), count * args.width, view, y * args.width, first, channels);
      }
    }
  }

  void sample(int64_t sample) {
    for (int64_t first = 0; first < args.channels; first += kGroup)
      run_group(sample, first, std::min(kGroup, args.channels - first));
  }
};

}  // namespace fctfast::cpu
