// The two matrix products of a tile, three ways: float32 multiply-adds, tf32 and float16 on tensor
// cores. A warp owns kWarpRows rows of the tile; a lane holds some rows and columns of the
// similarities, and some rows and some of kChunk features of the sums.
#pragma once

#include "ptx.h"

namespace fctfast::gpu {

constexpr int kWarpRows = 16;
constexpr int kChunk = 128;  // features that a block holds of each row

// Each policy has
//   Element, kColumns          what a row consists of in shared memory; columns of a tile
//   kStride                    elements from a row to the next there: rows start 4 banks apart
//   kLanesOfRow                neighbouring lanes that share a row of similarities
//   row(lane, r), column(lane, c), at(s, r, c)      where a lane's similarities belong
//   kUnitRows                  rows are of length 1; otherwise they are z's, times a power of two
//   kHScale                    what H is multiplied by, to be undone at the end
//   kForwardBlocks             that an sm_90 unit holds at once (csrc/cuda/static_checks.py
//                              --table)
//   similarities(rows, columns, depth, s)           s += rows columns^T over `depth` features
//   operand(h, a)                                   a lane's H as the second product takes it
//   accumulate(a, columns, depth, scratch, sums)    sums += h columns
//   each(sums, f)                                   f(row, feature, value) for all of a lane's sums
using Operand = uint32_t[4][4];

struct FloatProducts {
  using Element = float;
  static constexpr int kColumns = 32, kStride = kChunk + 4;
  static constexpr int kRowsOfLane = 4, kColumnsOfLane = 4, kLanesOfRow = 8;
  static constexpr int kScratch = kWarpRows * (kColumns + 4);  // floats a warp, for H
  static constexpr bool kUnitRows = true;
  static constexpr float kHScale = 1;
  static constexpr int kForwardBlocks = 2;
  using Similarities = float[kRowsOfLane][kColumnsOfLane];
  using Sums = float[kRowsOfLane][kChunk / kLanesOfRow];
  using Four = Vec<float, 4>;

  __device__ __forceinline__ static int row(int lane, int r) { return lane / kLanesOfRow + 4 * r; }
  __device__ __forceinline__ static int column(int lane, int c) {
    return lane % kLanesOfRow + 8 * c;
  }
  __device__ __forceinline__ static float& at(Similarities& s, int r, int c) { return s[r][c]; }
  __device__ __forceinline__ static float rounded(float x) { return x; }

  __device__ __forceinline__ static void similarities(const float* rows, const float* columns,
                                                      int depth, Similarities& s) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const float* a = rows + row(lane, 0) * kStride;
    const float* b = columns + column(lane, 0) * kStride;
    // Sixteen features are summed by themselves first: one long sum of 300 loses four times as
    // much.
    for (int part = 0; part < depth; part += 16) {
      Similarities sum = {};
#pragma unroll 2
      for (int k = part; k < part + 16; k += 4) {
        Four of_row[kRowsOfLane], of_column[kColumnsOfLane];
#pragma unroll
        for (int r = 0; r < kRowsOfLane; ++r) of_row[r] = four(a + 4 * r * kStride + k);
#pragma unroll
        for (int c = 0; c < kColumnsOfLane; ++c) of_column[c] = four(b + 8 * c * kStride + k);
#pragma unroll
        for (int i = 0; i < 4; ++i)
#pragma unroll
          for (int r = 0; r < kRowsOfLane; ++r)
#pragma unroll
            for (int c = 0; c < kColumnsOfLane; ++c)
              sum[r][c] = __fmaf_rn(of_row[r].at[i], of_column[c].at[i], sum[r][c]);
      }
#pragma unroll
      for (int r = 0; r < kRowsOfLane; ++r)
#pragma unroll
        for (int c = 0; c < kColumnsOfLane; ++c) s[r][c] += sum[r][c];
    }
  }

  __device__ __forceinline__ static void operand(const Similarities& h, Operand& a) {
#pragma unroll
    for (int r = 0; r < kRowsOfLane; ++r)
#pragma unroll
      for (int c = 0; c < kColumnsOfLane; ++c) a[r][c] = float_to_bits(h[r][c]);
  }

  // A lane needs its rows' H of all columns: they pass through shared memory, inside the warp. The
  // caller's own barrier keeps the next tile's H from this one's readers.
  __device__ __forceinline__ static void accumulate(const Operand& a, const float* columns,
                                                    int depth, float* scratch, Sums& sums) {
    constexpr int kStep = kColumns + 4;
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
    for (int r = 0; r < kRowsOfLane; ++r)
#pragma unroll
      for (int c = 0; c < kColumnsOfLane; ++c)
        scratch[row(lane, r) * kStep + column(lane, c)] = bits_to_float(a[r][c]);
    __syncwarp();
    const float* mine = columns + 4 * (lane % kLanesOfRow);
#pragma unroll 1
    for (int j = 0; j < kColumns; j += 4) {
      Four pull[kRowsOfLane];
#pragma unroll
      for (int r = 0; r < kRowsOfLane; ++r) pull[r] = four(scratch + row(lane, r) * kStep + j);
#pragma unroll
      for (int v = 0; v < kChunk / 32; ++v) {
        if (32 * v + 4 * (lane % kLanesOfRow) >= depth) continue;  // behind the last feature
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const Four unit = four(mine + (j + i) * kStride + 32 * v);
#pragma unroll
          for (int r = 0; r < kRowsOfLane; ++r)
#pragma unroll
            for (int d = 0; d < 4; ++d)
              sums[r][4 * v + d] = __fmaf_rn(pull[r].at[i], unit.at[d], sums[r][4 * v + d]);
        }
      }
    }
  }

  template <typename F>
  __device__ __forceinline__ static void each(const Sums& sums, const F& f) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
    for (int r = 0; r < kRowsOfLane; ++r)
#pragma unroll
      for (int i = 0; i < kChunk / kLanesOfRow; ++i)
        f(row(lane, r), 32 * (i / 4) + 4 * (lane % kLanesOfRow) + i % 4, sums[r][i]);
  }

 private:
  __device__ __forceinline__ static Four four(const float* p) {
    return *reinterpret_cast<const Four*>(p);
  }
};

// What both tensor-core policies share: the accumulators of mma's m16n8 tiles. Rows are not unit
// ones: 16-bit inputs are exact as they are, and rounded unit rows are no longer of length 1, which
// on clustered rows (spread .05) was a gradient error of 2.7 % and is .1 % with lengths divided
// out.
template <int Columns>
struct TensorProducts {
  static constexpr int kColumns = Columns;
  static constexpr int kRowsOfLane = 2, kColumnsOfLane = Columns / 4, kLanesOfRow = 4;
  static constexpr int kScratch = 0;
  static constexpr bool kUnitRows = false;
  static constexpr int kForwardBlocks = 3;
  using Similarities = float[Columns / 8][4];
  using Sums = float[kChunk / 8][4];

  __device__ __forceinline__ static int row(int lane, int r) { return lane / 4 + 8 * r; }
  __device__ __forceinline__ static int column(int lane, int c) {
    return 8 * (c / 2) + 2 * (lane % 4) + c % 2;
  }
  __device__ __forceinline__ static float& at(Similarities& s, int r, int c) {
    return s[c / 2][2 * r + c % 2];
  }

  template <typename F>
  __device__ __forceinline__ static void each(const Sums& sums, const F& f) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
    for (int tile = 0; tile < kChunk / 8; ++tile)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        f(lane / 4 + 8 * (i / 2), 8 * tile + 2 * (lane % 4) + i % 2, sums[tile][i]);
  }
};

// Operands are rounded to tf32 beforehand: rows when they are made, H here.
struct Tf32Products : TensorProducts<32> {
  using Element = float;
  static constexpr int kStride = kChunk + 4;
  static constexpr float kHScale = 1;

  __device__ __forceinline__ static float rounded(float x) { return bits_to_float(to_tf32(x)); }

  __device__ __forceinline__ static void similarities(const float* rows, const float* columns,
                                                      int depth, Similarities& s) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp, group = lane / 4, member = lane % 4;
    const float* a_row = rows + group * kStride + member;
    const float* b_row = columns + group * kStride + member;
#pragma unroll 2
    for (int k = 0; k < depth; k += 8) {
      const uint32_t a[4] = {float_to_bits(a_row[k]), float_to_bits(a_row[8 * kStride + k]),
                             float_to_bits(a_row[k + 4]),
                             float_to_bits(a_row[8 * kStride + k + 4])};
#pragma unroll
      for (int n = 0; n < kColumns / 8; ++n) {
        const uint32_t b[2] = {float_to_bits(b_row[8 * n * kStride + k]),
                               float_to_bits(b_row[8 * n * kStride + k + 4])};
        mma_tf32(s[n], a, b);
      }
    }
  }

  // A sum does not care for the order of its terms: column 2t of the accumulator stands for k = t
  // of the operand and 2t + 1 for t + 4, so that no number has to change lanes.
  __device__ __forceinline__ static void operand(const Similarities& h, Operand& a) {
#pragma unroll
    for (int n = 0; n < kColumns / 8; ++n) {
      a[n][0] = to_tf32(h[n][0]), a[n][1] = to_tf32(h[n][2]);
      a[n][2] = to_tf32(h[n][1]), a[n][3] = to_tf32(h[n][3]);
    }
  }

  __device__ __forceinline__ static void accumulate(const Operand& a, const float* columns,
                                                    int depth, float*, Sums& sums) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp, group = lane / 4, member = lane % 4;
#pragma unroll
    for (int n = 0; n < kColumns / 8; ++n) {
      const float* b_row = columns + (8 * n + 2 * member) * kStride + group;
#pragma unroll
      for (int tile = 0; tile < kChunk / 8; ++tile) {
        if (8 * tile >= depth) continue;  // the same for the whole block
        const uint32_t b[2] = {float_to_bits(b_row[8 * tile]),
                               float_to_bits(b_row[kStride + 8 * tile])};
        mma_tf32(sums[tile], a[n], b);
      }
    }
  }
};

struct HalfProducts : TensorProducts<64> {
  using Element = Half;
  static constexpr int kStride = kChunk + 8;
  // H is at most about 2, and 1 / N and less for most pairs: in float16 it keeps its 11 bits from
  // 3.7e-9 on.
  static constexpr float kHScale = 16384;

  __device__ __forceinline__ static Half rounded(float x) { return narrow<Half>(x); }

  __device__ __forceinline__ static void similarities(const Half* rows, const Half* columns,
                                                      int depth, Similarities& s) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    // Matrices of A: rows 0-7 and 8-15 of features 0-7, then of features 8-15; of B: features 0-7
    // and 8-15 of columns 0-7, then of columns 8-15.
    const Half* a_row = rows + lane % 16 * kStride + lane / 16 * 8;
    const Half* b_row = columns + (lane / 16 * 8 + lane % 8) * kStride + lane / 8 % 2 * 8;
#pragma unroll 2
    for (int k = 0; k < depth; k += 16) {
      uint32_t a[4];
      load_matrices<false>(a, a_row + k);
#pragma unroll
      for (int n = 0; n < kColumns / 16; ++n) {
        uint32_t b[4];
        load_matrices<false>(b, b_row + 16 * n * kStride + k);
        const uint32_t left[2] = {b[0], b[1]}, right[2] = {b[2], b[3]};
        mma_f16(s[2 * n], a, left);
        mma_f16(s[2 * n + 1], a, right);
      }
    }
  }

  // Two accumulator tiles side by side lie in the lanes as the operand of 16 columns wants them.
  __device__ __forceinline__ static void operand(const Similarities& h, Operand& a) {
#pragma unroll
    for (int n = 0; n < kColumns / 8; ++n) {
      a[n / 2][n % 2 * 2] = pair(h[n][0], h[n][1]);
      a[n / 2][n % 2 * 2 + 1] = pair(h[n][2], h[n][3]);
    }
  }

  __device__ __forceinline__ static void accumulate(const Operand& a, const Half* columns,
                                                    int depth, float*, Sums& sums) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const Half* b_row = columns + lane % 16 * kStride + lane / 16 * 8;
#pragma unroll
    for (int k = 0; k < kColumns / 16; ++k) {
#pragma unroll
      for (int tile = 0; tile < kChunk / 16; ++tile) {
        if (16 * tile >= depth) continue;  // the same for the whole block
        uint32_t b[4];
        load_matrices<true>(b, b_row + 16 * k * kStride + 16 * tile);
        const uint32_t left[2] = {b[0], b[1]}, right[2] = {b[2], b[3]};
        mma_f16(sums[2 * tile], a[k], left);
        mma_f16(sums[2 * tile + 1], a[k], right);
      }
    }
  }

 private:
  __device__ __forceinline__ static uint32_t pair(float low, float high) {
    return uint32_t{narrow<Half>(low).bits} | uint32_t{narrow<Half>(high).bits} << 16;
  }
};

}  // namespace fctfast::gpu
