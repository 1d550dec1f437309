// What an op's kernels take, on the CPU and on the GPU alike: pointers, sizes and PODs. Pointers to
// elements are the device's; those to per-channel numbers (mean, std, fill) are the host's.
#pragma once

#include <cmath>
#include <cstdint>

#include "affine.h"
#include "scalar_types.h"

namespace fctfast {

// What the ops of views have in common. Strides in bytes, of uint8 images.
struct ViewArgs {
  const uint8_t* images;
  int64_t batch, channels, height, width;
  int64_t stride_n, stride_c, stride_y, stride_x;
  const float* mean;  // [channels], of images scaled to [0, 1]
  const float* std;   // [channels]
  void* out;
  ScalarKind kind;  // f32, f16, bf16
  bool channels_last;
};

// Items: batch samples. out [(originals + draws) * batch, C, H, W].
struct FctViewsArgs : ViewArgs {
  int64_t draws;
  const NearestCoefficients* nearest;    // [draws][batch], or null
  const BilinearCoefficients* bilinear;  // [draws][batch], or null
  bool originals;
};

// Items: rows = views * batch, view by view, of 1 or 3 channels. out [rows, C, out_height,
// out_width].
struct ContrastiveViewsArgs : ViewArgs {
  const float* params;  // [rows][kContrastiveWords]
  int64_t rows, out_height, out_width;
};

// A row of params; the rest is zero.
enum ContrastiveWord {
  kTop,
  kLeft,
  kCropHeight,
  kCropWidth,  // pixels of the source
  kFlip,       // 1: left and right change places
  kJitter,     // 1: the four factors apply, in this order:
  kOrder,      // 0 to 23, the permutations of the four in lexical order
  kBrightness,
  kContrast,
  kSaturation,
  kHue,
  kGrey,  // 1: no colours
  kContrastiveWords = 16
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

constexpr int64_t kSupConPanel = 32;
enum SupConRound : int64_t { kOwnTile = -1, kEveryColumn = -2 };

// Items: see csrc/kernels/cpu/supcon_loss.h. Of `columns` rows in all, `rows` from `first` on are
// this process's own anchors. Buffers of [padded_columns] hold every row.
struct SupConArgs {
  const void* z;    // [columns, width], contiguous
  ScalarKind kind;  // f32, f16, bf16
  int64_t columns, width, first, rows;
  int64_t padded_columns, padded_width;  // multiples of kSupConPanel
  int64_t tile;                          // rows of a tile, a multiple of kSupConPanel
  int64_t round;                         // of the tournament, or a SupConRound
  float scale;                           // log2(e) / t
  bool wide;       // exp(s / t) may overflow: exponents are taken relative to a row's own largest
  float* panels;   // unit rows [padded_columns / 32][padded_width][32]
  float* stripes;  // the same [padded_width / 32][padded_columns][32]
  double* inverse_norm;        // [padded_columns]; 0 for a row of zeros
  const int64_t* order;        // [columns], row numbers sorted by group
  const int64_t* group_begin;  // [groups + 1], places in `order`
  double* positives;           // [padded_columns], sum of s over the positives of a row
  float* largest;              // [padded_columns], largest s of a row with another; wide
  double* denominator;         // [padded_columns], sum of exp over the others of a row
  // Backward: H_ij = e_ij (pull_i + pull_j) - [group_i == group_j] (push_i + push_j); if wide,
  // e_ij is taken of s - shift_i for the one, of s - shift_j for the other.
  const int32_t* group;              // [padded_columns], numbered from 0
  const float *pull, *push, *shift;  // [padded_columns]
  float* sums;                       // H Z of the own rows, from whole panels on; starts as zeros
  double factor;                     // of the finished gradient
  void* grad_z;                      // [rows, width] of z's kind
};

// exp(1 / t) times the number of columns would leave float32: exponents are taken relative to the
// largest of a row in the forward pass, to its denominator in the backward one.
inline bool supcon_is_wide(double temperature, int64_t columns) {
  return 1 / temperature + std::log(static_cast<double>(columns < 1 ? 1 : columns)) > 85;
}

constexpr int64_t kSupConTriangleFrom = 4096;

// Of `columns` rows in all, `rows` from `first` on are this process's own anchors. Statistics are
// [rows][2]: the log of an anchor's denominator, the number of its positives.
struct SupConGpuArgs {
  const void* z;    // [columns, width], contiguous
  ScalarKind kind;  // f32, f16, bf16
  int64_t columns, width, first, rows;
  const int64_t* group;  // [columns]
  double temperature, base_temperature;
  bool tensor_cores;     // those of sm_80 and later
  bool tf32;             // may be used for float32
  int64_t shared_limit;  // bytes of shared memory that a block may ask for
  int64_t shared_on_unit;
  int64_t triangle_from;   // rows from which the forward may take the upper triangle
  int64_t triangle_block;  // rows of a block of it; 0: chosen by the number of rows
  int64_t panel_blocks;    // blocks of rows whose H is kept at a time; 0: likewise
  float* loss;             // forward
  double* statistics;
  const float* grad;    // backward
  const double* given;  // statistics of all columns
  void* grad_z;         // [rows, width] of z's kind
};

// Buffers of a GPU's pass, and their sizes in bytes; 0 of what the pass does not need.
struct SupConScratch {
  void *rows, *inverse_norm, *length, *partials, *losses, *weight, *shift, *factor, *pulls;
};
struct SupConScratchBytes {
  int64_t rows, inverse_norm, length, partials, losses, weight, shift, factor, pulls;
};

// Features of a row in memory: whole steps of a tensor-core product.
inline int64_t supcon_padded_width(const SupConGpuArgs& a) { return (a.width + 15) / 16 * 16; }

// Whole panels are computed, so a few rows before the first own one may be another process's.
inline int64_t first_computed_row(const SupConArgs& a) {
  return a.first / kSupConPanel * kSupConPanel;
}

}  // namespace fctfast
