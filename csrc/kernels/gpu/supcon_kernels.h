// The supervised contrastive loss in tiles: no array that grows with N^2. A block owns 64 rows and
// walks over the columns (a share of them, where rows are few), once forward for the denominators
// and once backward for dZ = H Z with the symmetric H (rows of up to kChunk features; others:
// supcon_panels.h); nobody else adds to its rows.
#pragma once

#include <type_traits>

#include "../args.h"
#include "supcon_rows.h"

namespace fctfast::gpu {

template <typename Products>
__device__ __forceinline__ void divide_by_lengths(typename Products::Similarities& s,
                                                  const float* lengths) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int c = 0; c < Products::kColumnsOfLane; ++c) {
    const float length = lengths[Products::column(lane, c)];
#pragma unroll
    for (int r = 0; r < Products::kRowsOfLane; ++r) Products::at(s, r, c) *= length;
  }
}

// What a lane adds up of its rows over the columns that its block walks over.
template <typename Products, bool Wide>
struct RowSums {
  static constexpr int kRows = Products::kRowsOfLane, kColumns = Products::kColumnsOfLane;

  int64_t row[kRows], group[kRows];
  float length[kRows], scale[kRows];
  Partial part[kRows];  // of similarities that are still to be multiplied by the row's length

  __device__ __forceinline__ void begin(const SupConParams& p, int64_t first) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const int warp_row = static_cast<int>(threadIdx.x) / kWarp * kWarpRows;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      row[r] = first + warp_row + Products::row(lane, r);
      const int64_t at = p.first + (row[r] < p.rows ? row[r] : 0);
      group[r] = load(p.group + at);
      length[r] = Products::kUnitRows ? 1.0f : load(p.length + at);
      scale[r] = p.scale * length[r];
      part[r] = {0, 0, Wide ? -INFINITY : 0.0f, 0};
    }
  }

  // also(c, exponential, similarity, of one group) for each pair that is one; at an edge some are
  // none.
  template <bool Edge, typename Also>
  __device__ __forceinline__ void add(const SupConParams& p, typename Products::Similarities& s,
                                      int64_t column, const int64_t* groups, const Also& also) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const auto is_pair = [&](int r, int c) {
      const int64_t j = column + Products::column(lane, c);
      return !Edge || (j < p.columns && j != p.first + row[r]);
    };
    if constexpr (Wide) {
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        float largest = part[r].largest;
#pragma unroll
        for (int c = 0; c < kColumns; ++c)
          if (is_pair(r, c)) largest = fmaxf(largest, Products::at(s, r, c));
        part[r].sum = rescaled(part[r].sum, scale[r] * (part[r].largest - largest));
        part[r].largest = largest;
      }
    }
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      const int64_t of_column = groups[Products::column(lane, c)];
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        if (!is_pair(r, c)) continue;
        const float similarity = Products::at(s, r, c);
        const float exponential = exp2_approx(scale[r] * (similarity - part[r].largest));
        const bool alike = of_column == group[r];
        part[r].sum += exponential;
        if (alike) {
          part[r].positives += similarity;
          ++part[r].count;
        }
        also(c, exponential, similarity, alike);
      }
    }
  }

  // Adds up the lanes of a row and writes it down as the sums over a share of the columns.
  __device__ __forceinline__ void store(const SupConParams& p, int64_t share) const {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      Partial all = part[r];
      all.positives *= length[r];
      if constexpr (Wide) {
        for (int offset = Products::kLanesOfRow / 2; offset > 0; offset /= 2)
          all.largest = fmaxf(all.largest, __shfl_xor_sync(kAllLanes, all.largest, offset));
        all.sum = rescaled(all.sum, scale[r] * (part[r].largest - all.largest));
        all.largest *= length[r];
      }
      all.sum = lane_sum(all.sum, Products::kLanesOfRow);
      all.positives = lane_sum(all.positives, Products::kLanesOfRow);
      all.count = lane_sum(all.count, Products::kLanesOfRow);
      if (lane % Products::kLanesOfRow == 0 && row[r] < p.rows)
        static_cast<Partial*>(p.partials)[share * p.rows + row[r]] = all;
    }
  }
};

template <typename Products, bool Wide, int Stages>
__global__ void __launch_bounds__(kSupConThreads, Products::kForwardBlocks)
    supcon_forward_kernel(SupConParams p) {
  FCT_DYNAMIC_SHARED(memory);
  const SupConShared<Products, Stages> shared{memory};
  for (int64_t number = blockIdx.x; number < p.row_blocks * p.splits; number += gridDim.x) {
    const SupConItem item = supcon_item<Products>(p, number);
    RowSums<Products, Wide> rows;
    rows.begin(p, item.row);
    walk_columns<Products, Stages, false>(
        p, item, shared,
        [&](typename Products::Similarities& s, int64_t column, int stage, bool edge) {
          const int64_t* groups = shared.groups(stage);
          if constexpr (!Products::kUnitRows) divide_by_lengths<Products>(s, shared.lengths(stage));
          const auto nothing = [](int, float, float, bool) {};
          edge ? rows.template add<true>(p, s, column, groups, nothing)
               : rows.template add<false>(p, s, column, groups, nothing);
        });
    rows.store(p, item.split);
  }
}

// What H takes of a lane's rows: H_ij = e_ij (u_i + u_j) - [same group] (v_i + v_j), which is made
// of similarities in their registers.
template <typename Products, bool Wide>
struct RowPulls {
  static constexpr int kRows = Products::kRowsOfLane, kColumns = Products::kColumnsOfLane;
  static constexpr float kHScale = Products::kHScale;

  int64_t row[kRows], group[kRows];
  float scale[kRows], length[kRows], weight[kRows], shift[kRows], push[kRows];

  __device__ __forceinline__ void begin(const SupConParams& p, int64_t first) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const int warp_row = static_cast<int>(threadIdx.x) / kWarp * kWarpRows;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      row[r] = first + warp_row + Products::row(lane, r);
      const bool there = row[r] < p.rows;
      const int64_t at = p.first + (there ? row[r] : 0);
      group[r] = load(p.group + at);
      length[r] = Products::kUnitRows ? 1.0f : load(p.length + at);
      scale[r] = p.scale * length[r];
      weight[r] = load(p.weight + at);
      shift[r] = Wide ? load(p.shift + at) : 0.0f;
      const float positives = static_cast<float>(p.statistics[2 * at + 1]);
      // Both sides of a pair of one group have as many positives: v_i + v_j.
      push[r] = positives > 0 ? 2 * kHScale / positives : 0.0f;
    }
  }

  template <int Stages>
  __device__ __forceinline__ void make(const SupConParams& p, typename Products::Similarities& s,
                                       const SupConShared<Products, Stages, Wide>& shared,
                                       int64_t column, int stage, bool edge) const {
    edge ? make_at<true>(p, s, shared, column, stage) : make_at<false>(p, s, shared, column, stage);
  }

 private:
  template <bool Edge, int Stages>
  __device__ __forceinline__ void make_at(const SupConParams& p, typename Products::Similarities& s,
                                          const SupConShared<Products, Stages, Wide>& shared,
                                          int64_t column, int stage) const {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const int64_t* groups = shared.groups(stage);
    const float* weights = shared.weights(stage);
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      const int at = Products::column(lane, c);
      const int64_t of_column = groups[at];
      const float other = weights[at];
      const float other_length = Products::kUnitRows ? 1.0f : shared.lengths(stage)[at];
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        float& h = Products::at(s, r, c);
        const float similarity = Products::kUnitRows ? h : h * other_length;
        if constexpr (Wide) {
          // Similarities beside the shift, before they are scaled: of two near numbers the
          // difference is exact, of 144 s at its own size 1e-5 is lost.
          const float beside_row = __fmaf_rn(length[r], similarity, -shift[r]);
          const float beside_column = __fmaf_rn(length[r], similarity, -shared.shifts(stage)[at]);
          h = weight[r] * exp2_approx(p.scale * beside_row) +
              other * exp2_approx(p.scale * beside_column);
        } else {
          h = exp2_approx(scale[r] * similarity) * (weight[r] + other);
        }
        // In float32 and before any rounding: outside, collapsed classes lose the gradient.
        if (of_column == group[r]) h -= push[r];
        if constexpr (!Products::kUnitRows) h *= other_length;
        if (Edge && (column + at >= p.columns || column + at == p.first + row[r])) h = 0;
      }
    }
  }
};

// Writes a block's sums of the features from `feature` on down as those of its share of the
// columns.
template <typename Products>
__device__ __forceinline__ void store_sums(const SupConParams& p, const SupConItem& item,
                                           const typename Products::Sums& sums, int64_t feature,
                                           int depth) {
  const int64_t warp_row = item.row + static_cast<int>(threadIdx.x) / kWarp * kWarpRows;
  float* out = static_cast<float*>(p.partials) + item.split * p.rows * p.padded_width + feature;
  Products::each(sums, [&](int of_warp, int d, float value) {
    const int64_t own = warp_row + of_warp;
    if (own < p.rows && d < depth) out[own * p.padded_width + d] = value;
  });
}

// Rows of one chunk.
template <typename Products, bool Wide, int Stages>
__global__ void __launch_bounds__(kSupConThreads, kBlocksOnUnit)
    supcon_backward_kernel(SupConParams p) {
  FCT_DYNAMIC_SHARED(memory);
  const SupConShared<Products, Stages, Wide> shared{memory};
  const int depth = static_cast<int>(p.padded_width);
  for (int64_t number = blockIdx.x; number < p.row_blocks * p.splits; number += gridDim.x) {
    const SupConItem item = supcon_item<Products>(p, number);
    RowPulls<Products, Wide> rows;
    rows.begin(p, item.row);
    typename Products::Sums sums = {};
    walk_columns<Products, Stages, true>(
        p, item, shared,
        [&](typename Products::Similarities& s, int64_t column, int stage, bool edge) {
          rows.make(p, s, shared, column, stage, edge);
          Operand h;
          Products::operand(s, h);
          Products::accumulate(h, shared.columns(stage), depth, shared.scratch(), sums);
        });
    store_sums<Products>(p, item, sums, 0, depth);
  }
}

}  // namespace fctfast::gpu
