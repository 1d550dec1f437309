// How the kernels of supcon_loss are launched: products, shares of the columns, shared memory.
#pragma once

#include <algorithm>
#include <type_traits>

#include "../args.h"
#include "supcon_panels.h"
#include "supcon_triangle.h"

namespace fctfast::gpu {

// How long a pass takes by counting: the time of a tile of columns is one, and so many blocks run
// at once as the registers and shared memory of a large GPU (132 units, an H100) take. A block
// walks over its tiles, and starting and ending costs it about two more. Never by the GPU at hand,
// so that all give the same bits.
constexpr int64_t kSupConUnits = 132, kSupConStart = 2;

// Of a row's features.
inline int64_t supcon_chunks(const SupConGpuArgs& a) {
  return ceil_div(supcon_padded_width(a), kChunk);
}

struct SupConShares {
  int64_t count, time;
};

// How many shares the columns are cut into for so many blocks: the number that is finished first;
// two tiles a share at least. More shares take more memory, and have to gain a twentieth.
inline SupConShares supcon_shares_of(int64_t tiles, int64_t blocks, int64_t on_unit, int64_t most) {
  const int64_t slots = kSupConUnits * on_unit;
  SupConShares best{1, INT64_MAX / 20};
  for (int64_t splits = 1; splits <= std::min(std::max<int64_t>(tiles / 2, 1), most); ++splits) {
    const int64_t time =
        ceil_div(blocks * splits, slots) * (ceil_div(tiles, splits) + kSupConStart);
    if (20 * time < 19 * best.time) best = {splits, time};
  }
  return best;
}

// Blocks of rows whose H is made at a time where rows have several chunks: what fits into 32 MiB,
// which caches hold, but so many that there are blocks for all units. Panels are of equal size
// but for the last.
template <typename Products>
int64_t supcon_panel_blocks(const SupConGpuArgs& a) {
  constexpr int64_t kBytes = int64_t{32} << 20, kLeast = 8;
  const int64_t tiles = ceil_div(a.columns, Products::kColumns);
  const int64_t blocks = ceil_div(a.rows, kBlockRows);
  const int64_t fitting = kBytes / (tiles * kPullsOfTile * int64_t{sizeof(Pulls)});
  const int64_t most = a.panel_blocks > 0 ? a.panel_blocks : std::max(fitting, kLeast);
  return ceil_div(blocks, ceil_div(blocks, most));
}

constexpr int64_t kMostShares = 16;

template <typename Products>
SupConShares supcon_splits(const SupConGpuArgs& a, bool backward) {
  const int64_t tiles = ceil_div(a.columns, Products::kColumns);
  const int64_t blocks = ceil_div(a.rows, kBlockRows), chunks = supcon_chunks(a);
  if (!backward) return supcon_shares_of(tiles, blocks, Products::kForwardBlocks, kMostShares);
  const int64_t at_once = chunks > 1 ? supcon_panel_blocks<Products>(a) * chunks : blocks;
  return supcon_shares_of(tiles, at_once, kBlocksOnUnit, kMostShares);
}

// Rows of a block of the upper triangle, or 0 where the forward takes all of the columns instead:
// where that takes as long, where the blocks' sums would be over 128 MiB, where exponents are
// relative to a row's largest (each column's would have to be kept, too), and with tensor cores,
// whose products leave little beside the sums of the columns. In the time of a tile, some 4 us, the
// blocks that end the pass read about 500,000 of the sums.
template <typename Products>
int64_t supcon_triangle_block(const SupConGpuArgs& a) {
  constexpr int64_t kMostBytes = int64_t{128} << 20, kReadMeanwhile = 500000;
  if constexpr (!std::is_same_v<Products, FloatProducts>) {
    return 0;
  } else {
    if (a.rows != a.columns || a.columns < a.triangle_from) return 0;
    if (supcon_is_wide(a.temperature, a.columns)) return 0;
    if (a.triangle_block > 0) return a.triangle_block;
    int64_t best = 0, least = supcon_splits<Products>(a, false).time;
    for (int64_t block = kBlockRows; block <= kMostTriangleRows; block += kBlockRows) {
      const int64_t blocks = ceil_div(a.columns, block), pairs = blocks * (blocks + 1) / 2;
      if (blocks * a.columns * int64_t{sizeof(Partial)} > kMostBytes) continue;
      const int64_t turns = ceil_div(pairs, kSupConUnits * Products::kForwardBlocks);
      const int64_t walk = block / Products::kColumns + kSupConStart;
      const int64_t time = turns * block / kBlockRows * walk + blocks * a.columns / kReadMeanwhile;
      if (20 * time < 19 * least) best = block, least = time;
    }
    return best;
  }
}

// Shares of the columns that a row's sums come in.
template <typename Products>
int64_t supcon_shares(const SupConGpuArgs& a, bool backward) {
  const int64_t block = backward ? 0 : supcon_triangle_block<Products>(a);
  return block > 0 ? ceil_div(a.columns, block) : supcon_splits<Products>(a, backward).count;
}

// Two tiles of columns in shared memory where they fit, unless one alone lets a second block onto a
// unit: that block's products hide copies, too.
inline bool supcon_takes_two_tiles(const SupConGpuArgs& a, int64_t two, int64_t one) {
  constexpr int64_t kOfTheSystem = 1024;  // of each block
  const auto blocks = [&](int64_t bytes) { return a.shared_on_unit / (bytes + kOfTheSystem); };
  return two <= a.shared_limit && (blocks(two) >= 2 || blocks(one) < 2);
}

// The walk and the gradient of rows of several chunks, panel by panel.
template <typename T, typename Products, bool Wide>
cudaError_t launch_supcon_panels(const SupConGpuArgs& a, SupConParams p, SupConRows rows,
                                 cudaStream_t stream) {
  const int64_t tiles = ceil_div(a.columns, Products::kColumns);
  const int64_t blocks = supcon_panel_blocks<Products>(a);
  // Nothing is summed over the columns: shares cost no memory. Both kernels are taken for ones of
  // which two fit on a unit; more do on most, which only a GPU can say is worth other shares.
  SupConParams making = p;
  making.splits = supcon_shares_of(tiles, blocks, kBlocksOnUnit, tiles).count;
  for (int64_t first = 0; first < a.rows; first += blocks * kBlockRows) {
    rows.rows = std::min(blocks * kBlockRows, a.rows - first);
    rows.first = a.first + first;
    rows.grad_z = static_cast<T*>(a.grad_z) + first * a.width;
    making.first = p.first = rows.first;
    making.rows = p.rows = rows.rows;
    making.row_blocks = p.row_blocks = ceil_div(rows.rows, kBlockRows);
    cudaError_t error =
        launch(supcon_pulls_kernel<Products, Wide>, grid_for(making.row_blocks * making.splits),
               kSupConThreads, SupConShared<Products, 1, Wide>::kScratch, stream, making);
    if (error != cudaSuccess) return error;
    error = launch(supcon_sums_kernel<Products>, grid_for(p.row_blocks * p.splits * p.chunks),
                   kSupConThreads, SumsShared<Products>::kBytes, stream, p);
    if (error != cudaSuccess) return error;
    error = launch(supcon_grad_kernel<T>, grid_for(ceil_div(rows.rows, kThreads / kWarp)), kThreads,
                   0, stream, rows);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
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
  rows.splits = supcon_shares<Products>(a, backward);
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
  p.chunks = supcon_chunks(a);
  p.block = backward ? 0 : supcon_triangle_block<Products>(a);
  p.z = scratch.rows;
  p.length = rows.length;
  p.group = a.group;
  p.scale = static_cast<float>(kLog2E / a.temperature);
  p.partials = scratch.partials;
  p.pulls = static_cast<Pulls*>(scratch.pulls);
  if (backward) {
    rows.grad = a.grad;
    rows.given = a.given;
    rows.weight = static_cast<float*>(scratch.weight);
    rows.shift = static_cast<float*>(scratch.shift);
    rows.factor = static_cast<double*>(scratch.factor);
    rows.sums = static_cast<const float*>(scratch.partials);
    rows.grad_z = a.grad_z;
    p.weight = rows.weight;
    p.shift = rows.shift;
    p.statistics = a.given;
  } else {
    rows.partials = static_cast<const Partial*>(scratch.partials);
    rows.statistics = a.statistics;
    rows.losses = static_cast<Losses*>(scratch.losses);
    rows.loss = a.loss;
  }
  const int64_t row_blocks = ceil_div(a.columns, kThreads / kWarp);
  cudaError_t error = launch(supcon_rows_kernel<T, Products>, grid_for(row_blocks), kThreads, 0,
                             stream, rows, row_blocks, Wide);
  if (error != cudaSuccess) return error;
  if (backward && p.chunks > 1) return launch_supcon_panels<T, Products, Wide>(a, p, rows, stream);
  const bool triangle = p.block > 0;
  const unsigned grid =
      grid_for(triangle ? p.splits * (p.splits + 1) / 2 : p.row_blocks * p.splits);
  const auto bytes_of = [&](auto stages) -> int64_t {
    constexpr int kStages = decltype(stages)::value;
    // Whatever p.block is: what a launch may take is remembered by the kernel, not by the launch.
    if constexpr (std::is_same_v<Products, FloatProducts>)
      if (triangle) return triangle_bytes<Products, kStages>();
    return backward ? SupConShared<Products, kStages, Wide>::kBytes
                    : SupConShared<Products, kStages>::kBytes;
  };
  const auto walk = [&](auto stages) {
    constexpr int kStages = decltype(stages)::value;
    const auto bytes = static_cast<size_t>(bytes_of(stages));
    if constexpr (std::is_same_v<Products, FloatProducts> && !Wide) {
      if (triangle)
        return launch(supcon_triangle_kernel<Products, kStages>, grid, kSupConThreads, bytes,
                      stream, p);
    }
    return launch(backward ? supcon_backward_kernel<Products, Wide, kStages>
                           : supcon_forward_kernel<Products, Wide, kStages>,
                  grid, kSupConThreads, bytes, stream, p);
  };
  const bool two =
      p.chunks == 1 && supcon_takes_two_tiles(a, bytes_of(std::integral_constant<int, 2>{}),
                                              bytes_of(std::integral_constant<int, 1>{}));
  error = two ? walk(std::integral_constant<int, 2>{}) : walk(std::integral_constant<int, 1>{});
  if (error != cudaSuccess) return error;
  if (triangle) {
    const int64_t blocks = ceil_div(a.rows, kThreads);
    error = launch(supcon_statistics_kernel, grid_for(blocks), kThreads, 0, stream, rows, blocks);
    if (error != cudaSuccess) return error;
    return launch(supcon_mean_kernel, 1, kThreads, 0, stream, rows, blocks);
  }
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
    const int64_t width = supcon_padded_width(a), splits = supcon_shares<Products>(a, backward);
    const int64_t element = sizeof(typename Products::Element);
    SupConScratchBytes made{};
    made.rows = a.columns * width * element;
    made.length = Products::kUnitRows ? 0 : a.columns * int64_t{sizeof(float)};
    made.inverse_norm = a.columns * int64_t{sizeof(double)};
    const bool panels = backward && supcon_chunks(a) > 1;
    const int64_t blocks = panels ? supcon_panel_blocks<Products>(a) : 0;
    const int64_t summed = panels ? std::min(blocks * kBlockRows, a.rows) : a.rows;
    made.partials = splits * summed * (backward ? width * 4 : int64_t{sizeof(Partial)});
    made.pulls =
        blocks * ceil_div(a.columns, Products::kColumns) * kPullsOfTile * int64_t{sizeof(Pulls)};
    const bool triangle = !backward && supcon_triangle_block<Products>(a) > 0;
    made.losses = triangle ? ceil_div(a.rows, kThreads) * int64_t{sizeof(Losses)} : 0;
    made.weight = backward ? a.columns * int64_t{sizeof(float)} : 0;
    made.shift = backward && supcon_is_wide(a.temperature, a.columns) ? made.weight : 0;
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
