// The supervised contrastive loss in tiles: no N x N array. A block owns 64 rows and walks over the
// columns (a share of them, where rows are few), once forward for the denominators and once
// backward for dZ = H Z with the symmetric H; nobody else adds to its rows.
#pragma once

#include <algorithm>
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

template <typename Products, bool Wide, int Stages>
__global__ void __launch_bounds__(kSupConThreads, kBlocksOnUnit)
    supcon_forward_kernel(SupConParams p) {
  FCT_DYNAMIC_SHARED(memory);
  const SupConShared<Products, Stages> shared{memory};
  constexpr int kRows = Products::kRowsOfLane, kColumns = Products::kColumnsOfLane;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp_row = static_cast<int>(threadIdx.x) / kWarp * kWarpRows;
  for (int64_t number = blockIdx.x; number < p.row_blocks * p.splits; number += gridDim.x) {
    const SupConItem item = supcon_item<Products>(p, number);
    int64_t row[kRows], group[kRows];
    float length[kRows], scale[kRows];
    Partial part[kRows];  // of similarities that are still to be multiplied by the row's length
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      row[r] = item.row + warp_row + Products::row(lane, r);
      const int64_t at = p.first + (row[r] < p.rows ? row[r] : 0);
      group[r] = load(p.group + at);
      length[r] = Products::kUnitRows ? 1.0f : load(p.length + at);
      scale[r] = p.scale * length[r];
      part[r] = {0, 0, Wide ? -INFINITY : 0.0f, 0};
    }
    walk_columns<Products, Stages, false>(
        p, item, shared,
        [&](typename Products::Similarities& s, int64_t column, int stage, bool edge) {
          const int64_t* groups = shared.groups(stage);
          if constexpr (!Products::kUnitRows) divide_by_lengths<Products>(s, shared.lengths(stage));
          const auto add = [&](auto at_edge) {
            const auto is_pair = [&](int r, int c) {
              const int64_t j = column + Products::column(lane, c);
              return !decltype(at_edge)::value || (j < p.columns && j != p.first + row[r]);
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
                part[r].sum += exp2_approx(scale[r] * (similarity - part[r].largest));
                if (of_column == group[r]) {
                  part[r].positives += similarity;
                  ++part[r].count;
                }
              }
            }
          };
          edge ? add(std::true_type{}) : add(std::false_type{});
        });
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
        static_cast<Partial*>(p.partials)[item.split * p.rows + row[r]] = all;
    }
  }
}

template <typename Products, bool Wide, int Stages>
__global__ void __launch_bounds__(kSupConThreads, kBlocksOnUnit)
    supcon_backward_kernel(SupConParams p) {
  FCT_DYNAMIC_SHARED(memory);
  const SupConShared<Products, Stages> shared{memory};
  constexpr int kRows = Products::kRowsOfLane, kColumns = Products::kColumnsOfLane;
  constexpr float kHScale = Products::kHScale;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp_row = static_cast<int>(threadIdx.x) / kWarp * kWarpRows;
  for (int64_t number = blockIdx.x; number < p.row_blocks * p.splits * p.chunks;
       number += gridDim.x) {
    const SupConItem item = supcon_item<Products>(p, number);
    const int64_t feature = item.chunk * kChunk;
    const int64_t left = p.padded_width - feature;
    const int depth = static_cast<int>(left < kChunk ? left : kChunk);
    int64_t row[kRows], group[kRows];
    float scale[kRows], weight[kRows], push[kRows];
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      row[r] = item.row + warp_row + Products::row(lane, r);
      const bool there = row[r] < p.rows;
      const int64_t at = p.first + (there ? row[r] : 0);
      group[r] = load(p.group + at);
      scale[r] = Products::kUnitRows ? p.scale : p.scale * load(p.length + at);
      weight[r] = load(p.weight + at);
      const float positives = static_cast<float>(p.statistics[2 * at + 1]);
      // Both sides of a pair of one group have as many positives: v_i + v_j.
      push[r] = positives > 0 ? 2 * kHScale / positives : 0.0f;
    }
    typename Products::Sums sums = {};
    walk_columns<Products, Stages, true>(
        p, item, shared,
        [&](typename Products::Similarities& s, int64_t column, int stage, bool edge) {
          const int64_t* groups = shared.groups(stage);
          const float* weights = shared.weights(stage);
          const auto make_h = [&](auto at_edge) {
#pragma unroll
            for (int c = 0; c < kColumns; ++c) {
              const int at = Products::column(lane, c);
              const int64_t of_column = groups[at];
              const float other = weights[at];
              const float length = Products::kUnitRows ? 1.0f : shared.lengths(stage)[at];
#pragma unroll
              for (int r = 0; r < kRows; ++r) {
                float& h = Products::at(s, r, c);
                const float similarity = Products::kUnitRows ? h : h * length;
                if constexpr (Wide) {
                  h = kHScale * (exp2_approx(__fmaf_rn(scale[r], similarity, -weight[r])) +
                                 exp2_approx(__fmaf_rn(scale[r], similarity, -other)));
                } else {
                  h = exp2_approx(scale[r] * similarity) * (weight[r] + other);
                }
                // In float32 and before any rounding: outside, collapsed classes lose the gradient.
                if (of_column == group[r]) h -= push[r];
                if constexpr (!Products::kUnitRows) h *= length;
                if (decltype(at_edge)::value &&
                    (column + at >= p.columns || column + at == p.first + row[r]))
                  h = 0;
              }
            }
          };
          edge ? make_h(std::true_type{}) : make_h(std::false_type{});
          Products::accumulate(s, shared.columns(stage), depth, shared.scratch(), sums);
        });
    float* out = static_cast<float*>(p.partials) + item.split * p.rows * p.padded_width + feature;
    Products::each(sums, [&](int of_warp, int d, float value) {
      const int64_t own = item.row + warp_row + of_warp;
      if (own < p.rows && d < depth) out[own * p.padded_width + d] = value;
    });
  }
}

// How many shares the columns are cut into: enough blocks for every unit of a large GPU, two tiles
// a share at least, and never by the GPU at hand, so that all give the same bits.
template <typename Products>
int64_t supcon_splits(const SupConGpuArgs& a, bool backward) {
  constexpr int64_t kWanted = 264, kMost = 16;
  const int64_t tiles = ceil_div(a.columns, Products::kColumns);
  const int64_t blocks =
      ceil_div(a.rows, kBlockRows) * (backward ? ceil_div(supcon_padded_width(a), kChunk) : 1);
  const int64_t wanted = ceil_div(kWanted, std::max<int64_t>(blocks, 1));
  return std::max<int64_t>(1, std::min({wanted, tiles / 2, kMost}));
}

// Two tiles of columns in shared memory where they fit, unless one alone lets a second block onto a
// unit: that block's products hide copies, too.
inline bool supcon_takes_two_tiles(const SupConGpuArgs& a, int64_t two, int64_t one) {
  constexpr int64_t kOfTheSystem = 1024;  // of each block
  const auto blocks = [&](int64_t bytes) { return a.shared_on_unit / (bytes + kOfTheSystem); };
  return two <= a.shared_limit && (blocks(two) >= 2 || blocks(one) < 2);
}

template <typename T, typename Products, bool Wide>
cudaError_t launch_supcon_as(const SupConGpuArgs& a, const SupConScratch& scratch, bool backward,
                             cudaStream_t stream) {
  SupConRows rows{};
  rows.z = a.z;
  rows.columns = a.columns;
  rows.width = a.width;
  rows.padded_width = supcon_padded_width(a);
  rows.first = a.first;
  rows.rows = a.rows;
  rows.splits = supcon_splits<Products>(a, backward);
  rows.temperature = a.temperature;
  rows.base_temperature = a.base_temperature;
  rows.out = scratch.rows;
  rows.inverse_norm = static_cast<double*>(scratch.inverse_norm);
  rows.length = static_cast<float*>(scratch.length);
  rows.h_scale = Products::kHScale;
  SupConParams p{};
  p.columns = a.columns;
  p.first = a.first;
  p.rows = a.rows;
  p.padded_width = rows.padded_width;
  p.row_blocks = ceil_div(a.rows, kBlockRows);
  p.splits = rows.splits;
  p.chunks = ceil_div(p.padded_width, kChunk);
  p.z = scratch.rows;
  p.length = rows.length;
  p.group = a.group;
  p.scale = static_cast<float>(kLog2E / a.temperature);
  p.partials = scratch.partials;
  if (backward) {
    rows.grad = a.grad;
    rows.given = a.given;
    rows.weight = static_cast<float*>(scratch.weight);
    rows.factor = static_cast<double*>(scratch.factor);
    rows.sums = static_cast<const float*>(scratch.partials);
    rows.grad_z = a.grad_z;
    p.weight = rows.weight;
    p.statistics = a.given;
  } else {
    rows.partials = static_cast<const Partial*>(scratch.partials);
    rows.statistics = a.statistics;
    rows.loss = a.loss;
  }
  const int64_t row_blocks = ceil_div(a.columns, kThreads / kWarp);
  cudaError_t error = launch(supcon_rows_kernel<T, Products>, grid_for(row_blocks), kThreads, 0,
                             stream, rows, row_blocks, Wide);
  if (error != cudaSuccess) return error;
  const unsigned grid = grid_for(p.row_blocks * p.splits * (backward ? p.chunks : 1));
  const auto walk = [&](auto stages) {
    constexpr int kStages = decltype(stages)::value;
    constexpr size_t bytes = SupConShared<Products, kStages>::kBytes;
    return launch(backward ? supcon_backward_kernel<Products, Wide, kStages>
                           : supcon_forward_kernel<Products, Wide, kStages>,
                  grid, kSupConThreads, bytes, stream, p);
  };
  const bool two = p.chunks == 1 && supcon_takes_two_tiles(a, SupConShared<Products, 2>::kBytes,
                                                           SupConShared<Products, 1>::kBytes);
  error = two ? walk(std::integral_constant<int, 2>{}) : walk(std::integral_constant<int, 1>{});
  if (error != cudaSuccess) return error;
  if (!backward) return launch(supcon_finish_kernel, 1, kLossThreads, 0, stream, rows);
  return launch(supcon_grad_kernel<T>, grid_for(ceil_div(a.rows, kThreads / kWarp)), kThreads, 0,
                stream, rows);
}

// float32 inputs are multiplied in float32, or in tf32 where torch allows it; 16-bit inputs in
// float16. Without tensor cores of sm_80 everything is multiplied in float32.
template <typename Visit>
auto with_products(const SupConGpuArgs& a, const Visit& visit) {
  if (!a.tensor_cores || (a.kind == ScalarKind::f32 && !a.tf32)) return visit(FloatProducts{});
  return a.kind == ScalarKind::f32 ? visit(Tf32Products{}) : visit(HalfProducts{});
}

inline SupConScratchBytes supcon_scratch_bytes(const SupConGpuArgs& a, bool backward) {
  return with_products(a, [&](auto products) {
    using Products = decltype(products);
    const int64_t width = supcon_padded_width(a), splits = supcon_splits<Products>(a, backward);
    const int64_t element = sizeof(typename Products::Element);
    SupConScratchBytes made{};
    made.rows = a.columns * width * element;
    made.length = Products::kUnitRows ? 0 : a.columns * int64_t{sizeof(float)};
    made.inverse_norm = a.columns * int64_t{sizeof(double)};
    made.partials = splits * a.rows * (backward ? width * 4 : int64_t{sizeof(Partial)});
    made.weight = backward ? a.columns * int64_t{sizeof(float)} : 0;
    made.factor = backward ? int64_t{sizeof(double)} : 0;
    return made;
  });
}

// Returns the launch's own error; `group` and the scratch start on 16 bytes, rows are at least one.
inline cudaError_t launch_supcon_loss(const SupConGpuArgs& a, const SupConScratch& scratch,
                                      bool backward, cudaStream_t stream) {
  const bool wide = supcon_is_wide(a.temperature, a.columns);
  return with_products(a, [&](auto products) {
    using Products = decltype(products);
    const auto as = [&](auto zero) {
      using T = decltype(zero);
      // Only the pairs that with_products makes.
      if constexpr (std::is_same_v<Products, FloatProducts> ||
                    std::is_same_v<T, float> == std::is_same_v<Products, Tf32Products>) {
        return wide ? launch_supcon_as<T, Products, true>(a, scratch, backward, stream)
                    : launch_supcon_as<T, Products, false>(a, scratch, backward, stream);
      } else {
        return cudaErrorInvalidValue;
      }
    };
    switch (a.kind) {
      case ScalarKind::f16: return as(Half{});
      case ScalarKind::bf16: return as(BFloat16{});
      default: return as(0.0f);
    }
  });
}

}  // namespace fctfast::gpu
