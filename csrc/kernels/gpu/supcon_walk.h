// A block's walk over the columns of the similarities: 64 own rows against one tile of columns
// after the other, whose rows travel to shared memory while the tile before is worked on.
#pragma once

#include "supcon_products.h"

namespace fctfast::gpu {

constexpr int kSupConThreads = 128;
constexpr int kBlockRows = kSupConThreads / kWarp * kWarpRows;

// Of a warp's 16 rows and a tile's columns: H as the second product takes it, a lane's sixteen
// words four by four.
struct alignas(16) Pulls {
  Vec<uint32_t, 4> at[4][kWarp];
};

// A chunk is kChunk of a row's features. Own rows are those from `first` on; in a backward pass
// over panels they are a panel's.
struct SupConParams {
  int64_t columns, first, rows, padded_width;
  int64_t row_blocks, splits, chunks;
  int64_t block;         // rows of a block of the triangle, of which there are `splits`
  const void* z;         // [columns][padded_width] of the products' element; zeros behind the width
  const float* length;   // [columns], 1 / the length of a row of z; not used where it is 1
  const int64_t* group;  // [columns]
  const float* weight;   // [columns], of the columns in H; see supcon_rows.h
  const double* statistics;
  float scale;         // log2(e) / t
  Pulls* pulls;        // of a panel; see supcon_panels.h
  void* partials;      // [splits][rows] of Partial, or [splits][rows][padded_width] float32
  const float* shift;  // [columns], as weight; not used where exponents are not relative
};

// Which own rows, which share of the columns and, where chunks have blocks of their own, which
// chunk a block makes.
struct SupConItem {
  int64_t row, tile_begin, tile_end, split, chunk;
};

template <typename Products>
__device__ __forceinline__ SupConItem supcon_item(const SupConParams& p, int64_t number) {
  const int64_t tiles = ceil_div(p.columns, Products::kColumns);
  const int64_t block = number % p.row_blocks, rest = number / p.row_blocks;
  const int64_t split = rest % p.splits;
  return {block * kBlockRows, tiles * split / p.splits, tiles * (split + 1) / p.splits, split,
          rest / p.splits};
}

// Shared memory of a block, in this order: the own rows, `Stages` tiles of columns, their groups,
// lengths and weights, with Shifts their shifts, the warps' scratch.
template <typename Products, int Stages, bool Shifts = false>
struct SupConShared {
  using Element = typename Products::Element;
  static constexpr int kRowBytes = Products::kStride * static_cast<int>(sizeof(Element));
  static constexpr int kTileBytes = Products::kColumns * kRowBytes;
  static constexpr int kGroups = kBlockRows * kRowBytes + Stages * kTileBytes;
  static constexpr int kLengths = kGroups + Stages * Products::kColumns * 8;
  static constexpr int kWeights = kLengths + Stages * Products::kColumns * 4;
  static constexpr int kShifts = kWeights + Stages * Products::kColumns * 4;
  static constexpr int kScratch = kShifts + (Shifts ? Stages * Products::kColumns * 4 : 0);
  static constexpr int kBytes =
      kScratch + kSupConThreads / kWarp * Products::kScratch * static_cast<int>(sizeof(float));

  unsigned char* begin;

  __device__ Element* rows() const { return reinterpret_cast<Element*>(begin); }
  __device__ Element* columns(int stage) const {
    return reinterpret_cast<Element*>(begin + kBlockRows * kRowBytes + stage * kTileBytes);
  }
  __device__ int64_t* groups(int stage) const {
    return reinterpret_cast<int64_t*>(begin + kGroups) + stage * Products::kColumns;
  }
  __device__ float* lengths(int stage) const {
    return reinterpret_cast<float*>(begin + kLengths) + stage * Products::kColumns;
  }
  __device__ float* weights(int stage) const {
    return reinterpret_cast<float*>(begin + kWeights) + stage * Products::kColumns;
  }
  __device__ float* shifts(int stage) const {
    static_assert(Shifts);
    return reinterpret_cast<float*>(begin + kShifts) + stage * Products::kColumns;
  }
  __device__ float* scratch() const {
    return reinterpret_cast<float*>(begin + kScratch) + threadIdx.x / kWarp * Products::kScratch;
  }
};

// Starts to copy `count` rows of a chunk; those from `end` on become zeros.
template <typename Products>
__device__ __forceinline__ void copy_rows(const SupConParams& p, typename Products::Element* to,
                                          int64_t row, int count, int64_t end, int64_t feature,
                                          int depth) {
  using Element = typename Products::Element;
  constexpr int kFull = kFullVec<Element>, kPieces = kChunk / kFull;
  const Element* z = static_cast<const Element*>(p.z);
  for (int i = static_cast<int>(threadIdx.x); i < count * kPieces; i += kSupConThreads) {
    const int r = i / kPieces, d = i % kPieces * kFull;
    if (d >= depth) continue;
    const bool there = row + r < end;
    const Element* from = z + (there ? row + r : 0) * p.padded_width + feature + d;
    copy_async_16(to + r * Products::kStride + d, from, there ? 16 : 0);
  }
}

// Starts to copy `count` numbers of a list of `size`, 16 bytes at a time.
template <typename T>
__device__ __forceinline__ void copy_list(T* to, const T* list, int64_t at, int count,
                                          int64_t size) {
  constexpr int kFull = kFullVec<T>;
  const int i = static_cast<int>(threadIdx.x) * kFull;
  if (i >= count) return;
  const int64_t left = size - (at + i);
  const int bytes = left >= kFull ? 16 : left > 0 ? static_cast<int>(left) * int{sizeof(T)} : 0;
  copy_async_16(to + i, list + (bytes > 0 ? at + i : 0), bytes);
}

// visit(s, first column, stage, edge) for each tile of the item's columns; `edge` says that some
// pair of the tile may be none. A row of one chunk, as it has to be with two stages, is still in
// shared memory then.
template <typename Products, int Stages, bool Weights, bool Shifts, typename Visit>
__device__ __forceinline__ void walk_columns(const SupConParams& p, const SupConItem& item,
                                             const SupConShared<Products, Stages, Shifts>& shared,
                                             const Visit& visit) {
  constexpr int kColumns = Products::kColumns;
  const int64_t own = p.first + item.row;
  const int64_t own_end = own + kBlockRows < p.first + p.rows ? own + kBlockRows : p.first + p.rows;
  const int64_t chunks = Stages == 1 ? p.chunks : 1;
  const auto depth_of = [&](int64_t chunk) {
    const int64_t left = p.padded_width - chunk * kChunk;
    return static_cast<int>(left < kChunk ? left : kChunk);
  };
  const auto stage_of = [&](int64_t tile) {
    return Stages > 1 ? static_cast<int>((tile - item.tile_begin) % Stages) : 0;
  };
  const auto request = [&](int64_t tile, int64_t chunk) {
    if (tile < item.tile_end) {
      const int64_t column = tile * kColumns, feature = chunk * kChunk;
      const int depth = depth_of(chunk), stage = stage_of(tile);
      if (chunks > 1 || tile == item.tile_begin)
        copy_rows<Products>(p, shared.rows(), own, kBlockRows, own_end, feature, depth);
      copy_rows<Products>(p, shared.columns(stage), column, kColumns, p.columns, feature, depth);
      copy_list(shared.groups(stage), p.group, column, kColumns, p.columns);
      if constexpr (!Products::kUnitRows)
        copy_list(shared.lengths(stage), p.length, column, kColumns, p.columns);
      if constexpr (Weights)
        copy_list(shared.weights(stage), p.weight, column, kColumns, p.columns);
      if constexpr (Shifts) copy_list(shared.shifts(stage), p.shift, column, kColumns, p.columns);
    }
    commit_copies();
  };

  if constexpr (Stages > 1) request(item.tile_begin, 0);
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  for (int64_t tile = item.tile_begin; tile < item.tile_end; ++tile) {
    const int stage = stage_of(tile);
    typename Products::Similarities s = {};
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      request(Stages > 1 ? tile + 1 : tile, chunk);
      wait_for_copies<Stages - 1>();
      __syncthreads();
      Products::similarities(shared.rows() + warp * kWarpRows * Products::kStride,
                             shared.columns(stage), depth_of(chunk), s);
      if (chunk == chunks - 1) {
        const int64_t column = tile * kColumns;
        const bool meets_itself = own < column + kColumns && column < own + kBlockRows;
        visit(s, column, stage, meets_itself || column + kColumns > p.columns);
      }
      __syncthreads();
    }
  }
  wait_for_copies<0>();
}

}  // namespace fctfast::gpu
