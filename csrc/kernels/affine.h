// Geometry of tau = rotate about the centre, then shift by whole pixels.
// Only integers made here on the host reach a kernel, so CPU and CUDA agree bit for bit.
#pragma once

#include <cmath>
#include <cstdint>

#include "portable.h"

namespace fctfast {

// Nearest neighbour: Pillow's 16.16 fixed point. Source column of output (x, y):
// (x0 + xy * (y - dy) + xx * (x - dx)) >> 16, the source row alike.
struct NearestCoefficients {
  int32_t xx, xy, x0, yx, yy, y0, dx, dy;
};

// Bilinear: 32.32 fixed point of the composed map, the shift folded in; the result is the source
// position measured from the centre of pixel 0.
struct BilinearCoefficients {
  int64_t xx, xy, x0, yx, yy, y0;
};

constexpr int64_t kMaxSide = 32767;  // 16.16 in int32
// Nearest neighbour: a turned frame must stay within 16.16 as well. (longest side + diagonal) / 2
// is how far from pixel 0 a corner can come to lie.
inline bool fits_fixed_point(int64_t height, int64_t width) {
  const int64_t room = 2 * (kMaxSide + 1) - (height > width ? height : width);
  return height * height + width * width < room * room;
}
constexpr float kMaxShift = 65536;  // twice the longest side: beyond it every pixel is fill
constexpr int64_t kNearestWords = 8;
constexpr int64_t kBilinearWords = 6;

struct Source {
  int32_t x, y;
  bool valid;
};

// Arithmetic is modulo 2^32 as Pillow's int32 is in practice: a position that wraps lies outside
// the image either way.
FCT_HD Source nearest_source(const NearestCoefficients& k, int32_t x, int32_t y, int32_t height,
                             int32_t width) {
  const uint32_t u = static_cast<uint32_t>(x - k.dx);
  const uint32_t v = static_cast<uint32_t>(y - k.dy);
  const uint32_t px = static_cast<uint32_t>(k.x0) + static_cast<uint32_t>(k.xy) * v +
                      static_cast<uint32_t>(k.xx) * u;
  const uint32_t py = static_cast<uint32_t>(k.y0) + static_cast<uint32_t>(k.yy) * v +
                      static_cast<uint32_t>(k.yx) * u;
  const int32_t sx = static_cast<int32_t>(px) >> 16;
  const int32_t sy = static_cast<int32_t>(py) >> 16;
  const uint32_t w = static_cast<uint32_t>(width), h = static_cast<uint32_t>(height);
  // u < w and v < h: what the shift brings in from outside the rotated canvas is fill. Without
  // this mask about 4 % of the pixels are wrong.
  const bool valid =
      (u < w) & (v < h) & (static_cast<uint32_t>(sx) < w) & (static_cast<uint32_t>(sy) < h);
  return {sx, sy, valid};
}

// ---- host only -------------------------------------------------------------------------------

struct Rotation {
  double a, b, c, d, e, f;
};

// Python's round(value, 15) for |value| <= 1, exactly: ties to even on the exact decimal value.
inline double round_15_digits(double value) {
  const double scaled = value * 1e15;
  const double error = std::fma(value, 1e15, -scaled);
  double whole = std::nearbyint(scaled);
  const double rest = scaled - whole;  // exact; the tie is decided by the product's own error
  if (rest == 0.5 && error > 0) {
    whole += 1;
  } else if (rest == -0.5 && error < 0) {
    whole -= 1;
  }
  return whole / 1e15;
}

// Output-to-input matrix of PIL.Image.rotate on the same canvas.
inline Rotation rotation_matrix(double angle, int64_t height, int64_t width) {
  double turn = std::fmod(angle, 360.0);  // Python's %: the sign of the divisor
  if (turn < 0) turn += 360.0;
  const double radians = -(turn * (3.14159265358979323846 / 180.0));
  const double cosine = round_15_digits(std::cos(radians));
  const double sine = round_15_digits(std::sin(radians));
  const double cx = static_cast<double>(width) / 2.0, cy = static_cast<double>(height) / 2.0;
  const double c = cosine * -cx + sine * -cy + 0.0 + cx;
  const double f = -sine * -cx + cosine * -cy + 0.0 + cy;
  return {cosine, sine, c, -sine, cosine, f};
}

inline NearestCoefficients nearest_coefficients(const float* params, int64_t height,
                                                int64_t width) {
  const Rotation r = rotation_matrix(static_cast<double>(params[0]), height, width);
  const auto fix = [](double v) { return static_cast<int32_t>(std::floor(v * 65536.0 + 0.5)); };
  return {fix(r.a),
          fix(r.b),
          fix(r.c + r.a * 0.5 + r.b * 0.5),
          fix(r.d),
          fix(r.e),
          fix(r.f + r.d * 0.5 + r.e * 0.5),
          static_cast<int32_t>(params[1]),
          static_cast<int32_t>(params[2])};
}

inline BilinearCoefficients bilinear_coefficients(const float* params, int64_t height,
                                                  int64_t width) {
  const Rotation r = rotation_matrix(static_cast<double>(params[0]), height, width);
  const double u = 0.5 - static_cast<double>(params[1]);
  const double v = 0.5 - static_cast<double>(params[2]);
  const auto fix = [](double w) { return static_cast<int64_t>(std::llrint(w * 0x1p32)); };
  return {fix(r.a), fix(r.b), fix(r.a * u + r.b * v + r.c - 0.5),
          fix(r.d), fix(r.e), fix(r.d * u + r.e * v + r.f - 0.5)};
}

}  // namespace fctfast
