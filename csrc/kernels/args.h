// What an op's kernels take, on the CPU and on the GPU alike: pointers, sizes and PODs. Pointers to
// elements are the device's; those to per-channel numbers (mean, std, fill) are the host's.
#pragma once

#include <cstdint>

#include "affine.h"
#include "scalar_types.h"

namespace fctfast {

// Items: batch samples. Strides in bytes, of uint8 images.
struct FctViewsArgs {
  const uint8_t* images;
  int64_t batch, channels, height, width;
  int64_t stride_n, stride_c, stride_y, stride_x;
  int64_t draws;
  const NearestCoefficients* nearest;    // [draws][batch], or null
  const BilinearCoefficients* bilinear;  // [draws][batch], or null
  const float* mean;                     // [channels], of images scaled to [0, 1]
  const float* std;                      // [channels]
  void* out;                             // [(originals + draws) * batch, C, H, W]
  ScalarKind kind;                       // f32, f16, bf16
  bool channels_last, originals;
};

// Items: batch samples. features [(1 + draws) * batch, width] or, pooled over `pixels`,
// [..., width, pixels] (pixels_last) or [..., pixels, width].
struct FeatureDistanceArgs {
  const void* features;
  int64_t batch, draws, width, pixels;
  bool pixels_last;
  ScalarKind kind;
  double scale;         // 1, or 1 / width for the mean
  void* distance;       // accumulator type [draws][batch]; forward
  const void* grad;     // accumulator type [draws][batch]; backward
  void* grad_features;  // like features; backward
};

// Items: draws * batch (forward), batch * channels planes (backward). x [B, C, H, W] contiguous.
struct WarpDistanceArgs {
  const void* x;
  int64_t batch, draws, channels, height, width;
  // Of affine_coefficients: the GPU's gradient relies on a turn and a shift.
  const NearestCoefficients* nearest;
  const BilinearCoefficients* bilinear;
  const double* fill;  // [channels]
  ScalarKind kind;
  double scale;
  void* distance;
  const void* grad;
  void* grad_x;
};

}  // namespace fctfast
