// feature_distance of maps whose pixels lie innermost: a unit's features come to shared memory in
// 16-byte copies that are all under way at once, whatever the pixels of a channel, and are pooled
// there.
#pragma once

#include "feature_params.h"
#include "ptx.h"

namespace fctfast::gpu {

constexpr int kMapThreads = 128;
constexpr int kMapBlocksOnUnit = 7;
// Of a row, in shared memory. A sample and four views take 24 KB: seven blocks on an SM of 228 KB
// have more bytes under way than its share of the memory needs, and two fit on one of 64 KB.
constexpr int64_t kMapRowBytes = 4800;

constexpr int kMapRows = 1 + kDrawTile;

// The place in `features` of a unit's first pixel of row `r`: the sample's own, then its views'.
template <typename T>
__device__ __forceinline__ int64_t first_of_row(const FeatureParams<T>& p, const FeatureUnit& unit,
                                                int r, int64_t pixel) {
  const int64_t row = unit.sample + (r == 0 ? 0 : unit.draw + r) * p.batch;
  return (row * p.width + unit.channel) * p.pixels + pixel;
}

// Starts the copies of `count` elements from `first` on. `to` gets the whole 16 bytes of memory in
// which they lie, so they stand behind as many others there as in memory; zeros stand in for what
// would lie behind the last row.
template <typename T>
__device__ __forceinline__ void stage(const FeatureParams<T>& p, int64_t first, int count, T* to) {
  constexpr int kFull = kFullVec<T>;
  const int before = static_cast<int>(first % kFull);
  const T* from = p.features + (first - before);
  const int64_t rest = (1 + p.draws) * p.batch * p.width * p.pixels - (first - before);
  for (int i = static_cast<int>(threadIdx.x) * kFull; i < before + count;
       i += kMapThreads * kFull) {
    const int there = rest - i < kFull ? static_cast<int>(rest - i) : kFull;
    copy_async_16(to + i, from + i, there * static_cast<int>(sizeof(T)));
  }
}

// Adds every `step`th vector of the rows from `begin` to `end`.
template <int V, typename T>
__device__ __forceinline__ void add_pixels(const T* const (&row)[kMapRows], int views, int begin,
                                           int end, int step, Accumulator<T> (&sum)[kMapRows]) {
  using Vector = Vec<T, V>;
  constexpr int kAtOnce = sizeof(Vector) <= 4 ? 4 : 1;  // more does not fit the registers
#pragma unroll kAtOnce
  for (int i = begin; i < end; i += step) {
#pragma unroll
    for (int r = 0; r < kMapRows; ++r) {
      if (r > views) continue;
      const Vector got = *reinterpret_cast<const Vector*>(row[r] + i);
      Accumulator<T> part = widen(got.at[0]);
#pragma unroll
      for (int v = 1; v < V; ++v) part += widen(got.at[v]);
      sum[r] += part;
    }
  }
}

// V is 1, or kFullVec and divides the pixels: then a channel starts on 16 bytes.
template <typename T, int V>
__global__ void __launch_bounds__(kMapThreads, kMapBlocksOnUnit)
    feature_distance_maps_kernel(const FeatureParams<T> p) {
  using Acc = Accumulator<T>;
  FCT_DYNAMIC_SHARED(staged);
  const int seats = kMapThreads / p.lanes;
  const int seat = static_cast<int>(threadIdx.x) / p.lanes;
  const int lane = static_cast<int>(threadIdx.x) % p.lanes;
  const int64_t units = p.batch * p.parts.count * p.by_tiles.divisor;
  for (int64_t number = blockIdx.x; number < units; number += gridDim.x) {
    const FeatureUnit unit(p, number);
    const int channels = static_cast<int>(unit.end - unit.channel);
    // Of one channel at a time; more than one piece only where a unit is a single channel.
    Acc sum[kMapRows] = {}, total[kDrawTile] = {};
    for (int64_t pixel = 0; pixel < p.pixels; pixel += p.piece) {
      const int64_t left = p.pixels - pixel;
      const int pixels = left < p.piece ? static_cast<int>(left) : p.piece;
#pragma unroll 1
      for (int r = 0; r <= unit.views; ++r)
        stage(p, first_of_row(p, unit, r, pixel), channels * pixels,
              reinterpret_cast<T*>(staged + r * p.row_bytes));
      commit_copies();
      const T* row[kMapRows];
#pragma unroll
      for (int r = 0; r < kMapRows; ++r)
        row[r] = reinterpret_cast<const T*>(staged + r * p.row_bytes) +
                 (V == 1 ? first_of_row(p, unit, r, pixel) % kFullVec<T> : 0);
      wait_for_copies<0>();
      __syncthreads();
      for (int base = 0; base < channels; base += seats) {
        const int channel = base + seat;
        if (channel < channels)
          add_pixels<V>(row, unit.views, channel * pixels + lane * V, (channel + 1) * pixels,
                        p.lanes * V, sum);
        if (left > p.piece) continue;  // the channel goes on in the next piece
#pragma unroll
        for (int r = 0; r < kMapRows; ++r)
          sum[r] = lane_sum(sum[r], p.lanes) / static_cast<Acc>(p.pixels);
#pragma unroll
        for (int k = 0; k < kDrawTile; ++k) {
          const Acc d = sum[0] - sum[k + 1];
          // Each of a channel's lanes holds its square: one of them counts.
          if (lane == 0 && k < unit.views) total[k] += d * d;
        }
#pragma unroll
        for (int r = 0; r < kMapRows; ++r) sum[r] = 0;
      }
      __syncthreads();  // before the next piece or unit is copied over this one
    }
    team_sums(total, kMapThreads / kWarp);
    if (threadIdx.x == 0) put_distances(p, unit, total);
  }
}

// How a sample's features are dealt out: by the size of a row alone, so that a sample's bits depend
// neither on its neighbours nor on the other draws.
struct MapPlan {
  int64_t share, piece, lanes, row_bytes;
};

inline MapPlan map_plan(int64_t width, int64_t pixels, int64_t size) {
  const int64_t full = 16 / size, sector = 32 / size;
  MapPlan plan{1, pixels, 1, 0};
  const int64_t most = kMapRowBytes / size;
  if (pixels > most) {
    plan.piece = most / full * full;
  } else {
    // As many channels as fit, then as many for all shares, starting on whole sectors of memory.
    int64_t fit = std::min(most / pixels, width);
    if (fit < width && fit > sector) fit = fit / sector * sector;
    const int64_t even = ceil_div(width, ceil_div(width, fit));
    plan.share = std::min(fit, ceil_div(even, sector) * sector);
  }
  // Lanes as far as they divide the pixels: channels then lie an odd number of such steps apart,
  // and a warp's reads in different banks. A whole warp where the channels are few.
  const int64_t steps = pixels / (pixels % full == 0 ? full : 1);
  while (plan.lanes < kWarp && (steps % (2 * plan.lanes) == 0 || steps >= 4 * kWarp))
    plan.lanes *= 2;
  plan.row_bytes = ceil_div(plan.share * plan.piece * size, 16) * 16 + 16;
  return plan;
}

template <typename T>
cudaError_t launch_feature_maps(FeatureParams<T> p, cudaStream_t stream) {
  const MapPlan plan = map_plan(p.width, p.pixels, sizeof(T));
  p.lanes = static_cast<int>(plan.lanes);
  p.piece = static_cast<int>(plan.piece);
  p.row_bytes = static_cast<int>(plan.row_bytes);
  const auto rows = static_cast<size_t>(1 + std::min<int64_t>(p.draws, kDrawTile));
  const unsigned grid = grid_for(p.batch * p.parts.count * p.by_tiles.divisor);
  const size_t shared = rows * static_cast<size_t>(plan.row_bytes);
  return p.pixels % kFullVec<T> == 0
             ? launch(feature_distance_maps_kernel<T, kFullVec<T>>, grid, kMapThreads, shared,
                      stream, p)
             : launch(feature_distance_maps_kernel<T, 1>, grid, kMapThreads, shared, stream, p);
}

}  // namespace fctfast::gpu
