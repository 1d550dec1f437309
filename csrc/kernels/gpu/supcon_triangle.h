// The forward pass over the upper triangle: S is symmetric, so a tile of it serves its rows and its
// columns. Rows are cut into a few large blocks; a thread block takes a pair of them, and nobody
// else adds to what it writes: [other block][row] sums, which the finishing kernel adds up in the
// order of the other blocks.
#pragma once

#include "supcon_kernels.h"

namespace fctfast::gpu {

// The columns' sums of a pair of blocks, in shared memory behind the walk's tiles: what each warp
// made of the last tile, twice, so that a tile's are read while the next are written, and totals.
template <typename Products>
struct ColumnSums {
  static constexpr int kWarps = kSupConThreads / kWarp, kValues = 3;  // sum, positives, count
  static constexpr int kOfTile = kValues * kWarps * kWarp;
  static_assert(Products::kColumns == kWarp && Products::kColumnsOfLane == 4 &&
                Products::kLanesOfRow == 8 && kValues <= kWarps);

  float* begin;
  int64_t block;

  __device__ float* of_tile(int turn, int value) const {
    return begin + turn * kOfTile + value * kWarps * kWarp;
  }
  __device__ float* totals(int value) const { return begin + 2 * kOfTile + value * block; }

  __device__ __forceinline__ void clear() const {
    for (int64_t i = threadIdx.x; i < kValues * block; i += kSupConThreads) totals(0)[i] = 0;
  }

  // A lane has four of the tile's columns, and so have the lanes 8, 16 and 24 away. Each gives half
  // of them away, twice: in the end lane l has the warp's sum of column l.
  template <typename T>
  __device__ __forceinline__ static T of_warp(const T (&mine)[4]) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const bool upper = lane / 16 % 2 != 0, odd = lane / 8 % 2 != 0;
    const T low =
        (upper ? mine[2] : mine[0]) + __shfl_xor_sync(kAllLanes, upper ? mine[0] : mine[2], 16);
    const T high =
        (upper ? mine[3] : mine[1]) + __shfl_xor_sync(kAllLanes, upper ? mine[1] : mine[3], 16);
    return (odd ? high : low) + __shfl_xor_sync(kAllLanes, odd ? low : high, 8);
  }

  __device__ __forceinline__ void put(int turn, const float (&sum)[4], const float (&positives)[4],
                                      const int32_t (&count)[4]) const {
    const int at = static_cast<int>(threadIdx.x);  // warp and column
    of_tile(turn, 0)[at] = of_warp(sum);
    of_tile(turn, 1)[at] = of_warp(positives);
    // Whole numbers: exact as floats, up to 2^24 rows.
    of_tile(turn, 2)[at] = static_cast<float>(of_warp(count));
  }

  // The warps' sums of a tile, to the totals from `column` on; a warp takes one of the values.
  __device__ __forceinline__ void add(int turn, int64_t column) const {
    const int warp = static_cast<int>(threadIdx.x) / kWarp;
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    if (warp >= kValues) return;
    const float* of = of_tile(turn, warp) + lane;
    float all = of[0];
#pragma unroll
    for (int w = 1; w < kWarps; ++w) all += of[w * kWarp];
    totals(warp)[column + lane] += all;
  }

  // Writes the totals down as sums over the rows of block `share`, and clears them.
  __device__ __forceinline__ void store(const SupConParams& p, int64_t share, int64_t first,
                                        int64_t end) const {
    for (int64_t i = threadIdx.x; first + i < end; i += kSupConThreads) {
      static_cast<Partial*>(p.partials)[share * p.rows + first + i] = {
          totals(0)[i], totals(1)[i], 0.0f, static_cast<int32_t>(totals(2)[i])};
      totals(0)[i] = totals(1)[i] = totals(2)[i] = 0;
    }
  }
};

constexpr int64_t kMostTriangleRows = 960;  // of a block

// Shared memory of a thread block: the columns' sums begin where the walk's lengths would, which
// rows of length 1 have not. Two tiles let two blocks onto a unit of sm_80, one onto one of sm_75.
template <typename Products, int Stages>
constexpr int64_t triangle_bytes() {
  using Columns = ColumnSums<Products>;
  static_assert(Products::kUnitRows && SupConShared<Products, Stages>::kLengths % 16 == 0);
  return SupConShared<Products, Stages>::kLengths +
         4 * (2 * Columns::kOfTile + Columns::kValues * kMostTriangleRows);
}

// p.block rows a block, p.splits blocks; all rows are own ones, exponents are not relative.
template <typename Products, int Stages>
__global__ void __launch_bounds__(kSupConThreads, kBlocksOnUnit)
    supcon_triangle_kernel(SupConParams p) {
  FCT_DYNAMIC_SHARED(memory);
  using Shared = SupConShared<Products, Stages>;
  const Shared shared{memory};
  const ColumnSums<Products> columns{reinterpret_cast<float*>(memory + Shared::kLengths), p.block};
  columns.clear();  // there are barriers before the first sum
  for (int64_t number = blockIdx.x; number < p.splits * (p.splits + 1) / 2; number += gridDim.x) {
    int64_t upper = 0, lower = number;
    while (lower >= p.splits - upper) lower -= p.splits - upper++;
    lower += upper;
    const bool apart = upper != lower;
    const int64_t first = lower * p.block;
    const int64_t end = first + p.block < p.columns ? first + p.block : p.columns;
    const int64_t row_end = (upper + 1) * p.block < p.rows ? (upper + 1) * p.block : p.rows;
    int turn = 0;
    int64_t waiting = -1;  // first column of the tile whose sums are not in the totals yet
    for (int64_t row = upper * p.block; row < row_end; row += kBlockRows) {
      const SupConItem item{row, first / Products::kColumns, ceil_div(end, Products::kColumns),
                            lower, 0};
      RowSums<Products, false> rows;
      rows.begin(p, row);
      walk_columns<Products, Stages, false>(
          p, item, shared,
          [&](typename Products::Similarities& s, int64_t column, int stage, bool edge) {
            const int64_t* groups = shared.groups(stage);
            float sum[Products::kColumnsOfLane] = {}, positives[Products::kColumnsOfLane] = {};
            int32_t count[Products::kColumnsOfLane] = {};
            const auto of_column = [&](int c, float exponential, float similarity, bool alike) {
              sum[c] += exponential;
              if (alike) {
                positives[c] += similarity;
                ++count[c];
              }
            };
            edge ? rows.template add<true>(p, s, column, groups, of_column)
                 : rows.template add<false>(p, s, column, groups, of_column);
            if (!apart) return;  // the pair's other side is a row of this block, too
            if (waiting >= 0) columns.add(turn ^ 1, waiting);
            columns.put(turn, sum, positives, count);
            waiting = column - first;
            turn ^= 1;
          });
      rows.store(p, lower);
    }
    if (!apart) continue;
    columns.add(turn ^ 1, waiting);
    __syncthreads();
    columns.store(p, upper, first, end);
  }
}

}  // namespace fctfast::gpu
