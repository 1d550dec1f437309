// What the kernels of feature_distance have in common: their arguments, and how a distance's
// channels and draws are dealt out to units of work.
#pragma once

#include <algorithm>

#include "../args.h"
#include "../divider.h"
#include "parts.h"

namespace fctfast::gpu {

constexpr int kDrawTile = 4;

template <typename T>
struct FeatureParams {
  using Acc = Accumulator<T>;
  const T* features;  // [(1 + draws) * batch, width, pixels] or [..., pixels, width]
  int64_t batch, draws, width, pixels;
  int lanes;  // of a warp, that share a channel's pixels (a power of two)
  // Forward. Units go sample by sample, and in a sample share by share; tiles of draws innermost,
  // so that from the second on the sample's own features come from the L2.
  Parts<Acc> parts;  // of the distances [draws][batch]
  int64_t share;     // channels of a part
  Divider by_tiles, by_parts;
  int team_warps;  // rows and channels innermost: warps that share a unit
  int piece;       // pixels innermost: those of a channel that are in shared memory at once
  int row_bytes;   // and what a row takes there
  // Backward.
  Acc scale;           // 2 / pixels, and 1 / width for the mean
  const Acc* grad;     // [draws][batch]
  T* grad_features;    // like features
  Divider per_sample;  // units of channels
};

// A part of a sample's channels and up to kDrawTile of its draws.
struct FeatureUnit {
  int64_t sample, part, channel, end, draw;
  int views;

  template <typename T>
  __device__ __forceinline__ FeatureUnit(const FeatureParams<T>& p, int64_t unit) {
    const Divided tile = divide(unit, p.by_tiles), share = divide(tile.quotient, p.by_parts);
    sample = share.quotient;
    part = share.rest;
    channel = part * p.share;
    end = p.width - channel < p.share ? p.width : channel + p.share;
    draw = tile.rest * kDrawTile;
    views = p.draws - draw < kDrawTile ? static_cast<int>(p.draws - draw) : kDrawTile;
  }
};

template <typename T>
__device__ __forceinline__ void put_distances(const FeatureParams<T>& p, const FeatureUnit& unit,
                                              const Accumulator<T> (&total)[kDrawTile]) {
#pragma unroll
  for (int k = 0; k < kDrawTile; ++k)
    if (k < unit.views) p.parts.put((unit.draw + k) * p.batch + unit.sample, unit.part, total[k]);
}

}  // namespace fctfast::gpu
