// The backward pass of rows of several chunks: dZ of all of a row's features fits into no block's
// registers, so H is made once, a panel of rows at a time, and each chunk of dZ = H Z by blocks of
// its own. What is between them is a panel's H, never all of it where rows are many.
#pragma once

#include "supcon_kernels.h"

namespace fctfast::gpu {

constexpr int kPullsOfTile =
    kSupConThreads / kWarp;  // one a warp: a block's rows, a tile's columns

// Pulls of warp 0 of a block's rows and a tile; the other warps' come behind them.
template <typename Products>
__device__ __forceinline__ Pulls* pulls_of(const SupConParams& p, const SupConItem& item,
                                           int64_t tile) {
  return p.pulls +
         (item.row / kBlockRows * ceil_div(p.columns, Products::kColumns) + tile) * kPullsOfTile;
}

template <typename Products, bool Wide>
__global__ void __launch_bounds__(kSupConThreads, kBlocksOnUnit)
    supcon_pulls_kernel(SupConParams p) {
  FCT_DYNAMIC_SHARED(memory);
  const SupConShared<Products, 1, Wide> shared{memory};
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  for (int64_t number = blockIdx.x; number < p.row_blocks * p.splits; number += gridDim.x) {
    const SupConItem item = supcon_item<Products>(p, number);
    RowPulls<Products, Wide> rows;
    rows.begin(p, item.row);
    walk_columns<Products, 1, true>(
        p, item, shared,
        [&](typename Products::Similarities& s, int64_t column, int stage, bool edge) {
          rows.make(p, s, shared, column, stage, edge);
          Operand h;
          Products::operand(s, h);
          Pulls& to = pulls_of<Products>(p, item, column / Products::kColumns)[warp];
#pragma unroll
          for (int v = 0; v < 4; ++v) to.at[v][lane] = {{h[v][0], h[v][1], h[v][2], h[v][3]}};
        });
  }
}

// Shared memory of a block of the second product: two tiles of columns and the warps' scratch.
template <typename Products>
struct SumsShared {
  using Element = typename Products::Element;
  static constexpr int kTile = Products::kColumns * Products::kStride;
  static constexpr int kScratchAt = 2 * kTile * static_cast<int>(sizeof(Element));
  static constexpr int kBytes =
      kScratchAt + kSupConThreads / kWarp * Products::kScratch * static_cast<int>(sizeof(float));

  unsigned char* begin;

  __device__ Element* columns(int64_t tile) const {
    return reinterpret_cast<Element*>(begin) + tile % 2 * kTile;
  }
  __device__ float* scratch() const {
    return reinterpret_cast<float*>(begin + kScratchAt) + threadIdx.x / kWarp * Products::kScratch;
  }
};

template <typename Products>
__global__ void __launch_bounds__(kSupConThreads, kBlocksOnUnit)
    supcon_sums_kernel(SupConParams p) {
  FCT_DYNAMIC_SHARED(memory);
  const SumsShared<Products> shared{memory};
  constexpr int kColumns = Products::kColumns;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  for (int64_t number = blockIdx.x; number < p.row_blocks * p.splits * p.chunks;
       number += gridDim.x) {
    const SupConItem item = supcon_item<Products>(p, number);
    const int64_t feature = item.chunk * kChunk, left = p.padded_width - feature;
    const int depth = static_cast<int>(left < kChunk ? left : kChunk);
    const auto request = [&](int64_t tile) {
      if (tile < item.tile_end)
        copy_rows<Products>(p, shared.columns(tile), tile * kColumns, kColumns, p.columns, feature,
                            depth);
      commit_copies();
    };
    typename Products::Sums sums = {};
    request(item.tile_begin);
    for (int64_t tile = item.tile_begin; tile < item.tile_end; ++tile) {
      request(tile + 1);
      const Pulls& from = pulls_of<Products>(p, item, tile)[warp];
      Operand h;
#pragma unroll
      for (int v = 0; v < 4; ++v) {
        const Vec<uint32_t, 4> four = load(&from.at[v][lane]);
#pragma unroll
        for (int i = 0; i < 4; ++i) h[v][i] = four.at[i];
      }
      wait_for_copies<1>();
      __syncthreads();
      Products::accumulate(h, shared.columns(tile), depth, shared.scratch(), sums);
      __syncthreads();
    }
    wait_for_copies<0>();
    store_sums<Products>(p, item, sums, feature, depth);
  }
}

}  // namespace fctfast::gpu
