// feature_distance on the GPU: pooling, difference and sum in one walk over the features.
//
// A channel's sums belong to a few lanes, which add its pixels and then hold the pooled value of
// the sample and of up to kDrawTile of its views at once: for the usual number of draws each
// feature is read exactly once. No thread adds to what another owns.
#pragma once

#include <algorithm>

#include "../args.h"
#include "../divider.h"
#include "reduce.h"

namespace fctfast::gpu {

constexpr int kDrawTile = 4;

template <typename T>
struct FeatureParams {
  using Acc = Accumulator<T>;
  const T* features;  // [(1 + draws) * batch, width, pixels] or [..., pixels, width]
  int64_t batch, draws, width, pixels;
  Acc scale;           // of the distance; in the backward 2 * scale / pixels
  Acc* distance;       // [draws][batch]
  const Acc* grad;     // [draws][batch]
  T* grad_features;    // like features
  Divider per_sample;  // tiles of draws; in the backward units of channels
  int lanes;           // of a warp, that share a channel's pixels (a power of two)
  int team_warps;      // of the forward: warps that share a sample
};

// Which of its warp's channels (or V channels) a thread works for, and as which of their lanes.
// Neighbouring threads read neighbouring memory: pixels of a channel, or channels of a pixel.
struct Seat {
  int unit, lane, stride;  // stride: from one of a unit's lanes to the next
};

template <bool PixelsLast>
__device__ __forceinline__ Seat seat_of(int lanes) {
  const int in_warp = static_cast<int>(threadIdx.x) % kWarp, units = kWarp / lanes;
  return PixelsLast ? Seat{in_warp / lanes, in_warp % lanes, 1}
                    : Seat{in_warp % units, in_warp / units, units};
}

// The sums over pixels that a thread holds: V channels side by side or, where pixels lie
// innermost, one channel whose pixels are read V at a time.
template <typename T, int V, bool PixelsLast>
struct Pool {
  using Acc = Accumulator<T>;
  static constexpr int kChannels = PixelsLast ? 1 : V;
  Acc sum[kChannels];

  // Every lane of the warp calls; a lane with `active` unset adds nothing.
  __device__ __forceinline__ void run(const FeatureParams<T>& p, int64_t row, int64_t channel,
                                      const Seat& seat, bool active) {
    using Vector = Vec<T, V>;
    for (int v = 0; v < kChannels; ++v) sum[v] = 0;
    const T* from = p.features + row * p.width * p.pixels;
    if (PixelsLast) {
      Acc part[V] = {};
      if (active) {
        from += channel * p.pixels;
        for (int64_t i = static_cast<int64_t>(seat.lane) * V; i < p.pixels; i += p.lanes * V) {
          const Vector got = load(reinterpret_cast<const Vector*>(from + i));
#pragma unroll
          for (int v = 0; v < V; ++v) part[v] += widen(got.at[v]);
        }
      }
#pragma unroll
      for (int v = 0; v < V; ++v) sum[0] += part[v];
    } else if (active) {
      from += channel;
      for (int64_t i = seat.lane; i < p.pixels; i += p.lanes) {
        const Vector got = load(reinterpret_cast<const Vector*>(from + i * p.width));
#pragma unroll
        for (int v = 0; v < V; ++v) sum[v] += widen(got.at[v]);
      }
    }
    if (p.pixels == 1) return;  // a division costs more than all the rest
#pragma unroll
    for (int v = 0; v < kChannels; ++v)
      sum[v] = lane_sum(sum[v], p.lanes, seat.stride) / static_cast<Acc>(p.pixels);
  }
};

template <typename T, int V, bool PixelsLast>
__global__ void __launch_bounds__(kThreads, kBlocksOnUnit)
    feature_distance_kernel(const FeatureParams<T> p) {
  using Acc = Accumulator<T>;
  using Pooled = Pool<T, V, PixelsLast>;
  const int team_threads = p.team_warps * kWarp, teams = kThreads / team_threads;
  const int member = static_cast<int>(threadIdx.x) % team_threads;
  const Seat seat = seat_of<PixelsLast>(p.lanes);
  const int unit = member / kWarp * (kWarp / p.lanes) + seat.unit;
  const int64_t step = static_cast<int64_t>(team_threads / p.lanes) * Pooled::kChannels;
  const int64_t items = p.batch * p.per_sample.divisor;
  for (int64_t first = blockIdx.x * static_cast<int64_t>(teams); first < items;
       first += static_cast<int64_t>(gridDim.x) * teams) {
    const int64_t item = first + static_cast<int>(threadIdx.x) / team_threads;
    const Divided tile = divide(item, p.per_sample);
    const int64_t sample = tile.quotient, draw = tile.rest * kDrawTile;
    const bool present = item < items;
    Acc total[kDrawTile] = {};
    for (int64_t base = 0; base < p.width; base += step) {
      const int64_t channel = base + int64_t{unit} * Pooled::kChannels;
      const bool active = present && channel < p.width;
      Pooled own, view;
      own.run(p, sample, channel, seat, active);
#pragma unroll
      for (int k = 0; k < kDrawTile; ++k) {
        view.run(p, (draw + k + 1) * p.batch + sample, channel, seat, active && draw + k < p.draws);
#pragma unroll
        for (int v = 0; v < Pooled::kChannels; ++v) {
          const Acc d = own.sum[v] - view.sum[v];
          total[k] += d * d;
        }
      }
    }
    // Each of a channel's lanes holds its square: one of them counts.
    for (int k = 0; k < kDrawTile; ++k)
      if (seat.lane != 0) total[k] = 0;
    team_sums(total, p.team_warps);
    if (present && member == 0)
      for (int k = 0; k < kDrawTile && draw + k < p.draws; ++k)
        p.distance[(draw + k) * p.batch + sample] = total[k] * p.scale;
  }
}

// Writes `value`, or its negative, to every pixel of the thread's channels in a row's gradient.
template <typename T, int V, bool PixelsLast, typename Acc, int N>
__device__ __forceinline__ void spread(const FeatureParams<T>& p, int64_t row, int64_t channel,
                                       const Seat& seat, Acc sign, const Acc (&value)[N]) {
  using Vector = Vec<T, V>;
  Vector made;
#pragma unroll
  for (int v = 0; v < V; ++v) made.at[v] = narrow<T>(sign * value[PixelsLast ? 0 : v]);
  T* to = p.grad_features + row * p.width * p.pixels;
  if (PixelsLast) {
    to += channel * p.pixels;
    for (int64_t i = static_cast<int64_t>(seat.lane) * V; i < p.pixels; i += p.lanes * V)
      store_streaming(reinterpret_cast<Vector*>(to + i), made);
  } else {
    to += channel;
    for (int64_t i = seat.lane; i < p.pixels; i += p.lanes)
      store_streaming(reinterpret_cast<Vector*>(to + i * p.width), made);
  }
}

template <typename T, int V, bool PixelsLast>
__global__ void __launch_bounds__(kThreads, kBlocksOnUnit)
    feature_distance_backward_kernel(const FeatureParams<T> p) {
  using Acc = Accumulator<T>;
  using Pooled = Pool<T, V, PixelsLast>;
  const int64_t units = p.batch * p.per_sample.divisor;
  const Seat seat = seat_of<PixelsLast>(p.lanes);
  const int per_warp = kWarp / p.lanes, per_block = kThreads / p.lanes;
  for (int64_t first = blockIdx.x * static_cast<int64_t>(per_block); first < units;
       first += static_cast<int64_t>(gridDim.x) * per_block) {
    const int64_t unit = first + static_cast<int>(threadIdx.x) / kWarp * per_warp + seat.unit;
    const bool active = unit < units;
    const Divided in_row = divide(unit, p.per_sample);
    const int64_t sample = in_row.quotient, channel = in_row.rest * Pooled::kChannels;
    Pooled own, view;
    own.run(p, sample, channel, seat, active);
    Acc total[Pooled::kChannels] = {}, pull[Pooled::kChannels];
    for (int64_t draw = 0; draw < p.draws; ++draw) {
      const int64_t row = (draw + 1) * p.batch + sample;
      view.run(p, row, channel, seat, active);
      const Acc g = active ? p.grad[draw * p.batch + sample] * p.scale : Acc{0};
#pragma unroll
      for (int v = 0; v < Pooled::kChannels; ++v) {
        pull[v] = g * (own.sum[v] - view.sum[v]);
        total[v] += pull[v];
      }
      if (active) spread<T, V, PixelsLast>(p, row, channel, seat, Acc{-1}, pull);
    }
    if (active) spread<T, V, PixelsLast>(p, sample, channel, seat, Acc{1}, total);
  }
}

template <typename T, int V, bool PixelsLast>
cudaError_t launch_feature_distance_as(FeatureParams<T> p, bool backward, cudaStream_t stream) {
  // As many lanes as a channel has vectors of pixels; or, where channels lie innermost, enough to
  // give a block work, with 32 bytes of channels side by side.
  const int64_t units = p.width / Pool<T, V, PixelsLast>::kChannels;
  const int64_t most = PixelsLast ? ceil_div(p.pixels, V) : std::min(p.pixels, kThreads / units);
  p.lanes = 1;
  while (p.lanes < (PixelsLast ? kWarp : kWarp / 2) && p.lanes < most) p.lanes *= 2;
  if (backward) {
    p.per_sample = make_divider(units);
    return launch(feature_distance_backward_kernel<T, V, PixelsLast>,
                  grid_for(ceil_div(p.batch * units, kThreads / p.lanes)), kThreads, 0, stream, p);
  }
  // About two vectors of each row a thread, so that small batches reach every unit. Never by the
  // batch itself: a sample's bits must not depend on its neighbours.
  p.team_warps = 1;
  while (p.team_warps < kThreads / kWarp && kWarp * p.team_warps < units * p.lanes &&
         p.width * p.pixels > 2 * V * kWarp * p.team_warps)
    p.team_warps *= 2;
  const int64_t teams = kThreads / kWarp / p.team_warps;
  p.per_sample = make_divider(ceil_div(p.draws, kDrawTile));
  const int64_t items = p.batch * p.per_sample.divisor;
  return launch(feature_distance_kernel<T, V, PixelsLast>, grid_for(ceil_div(items, teams)),
                kThreads, 0, stream, p);
}

template <typename T>
cudaError_t launch_feature_distance_of(const FeatureDistanceArgs& a, bool backward,
                                       cudaStream_t stream) {
  using Acc = Accumulator<T>;
  constexpr int kFull = kFullVec<T>;
  FeatureParams<T> p{};
  p.features = static_cast<const T*>(a.features);
  p.batch = a.batch;
  p.draws = a.draws;
  p.width = a.width;
  p.pixels = a.pixels;
  p.scale = static_cast<Acc>(backward ? 2.0 * a.scale / static_cast<double>(a.pixels) : a.scale);
  p.distance = static_cast<Acc*>(a.distance);
  p.grad = static_cast<const Acc*>(a.grad);
  p.grad_features = static_cast<T*>(a.grad_features);
  if (a.batch * a.width * a.pixels == 0) return cudaSuccess;
  if (a.pixels_last && a.pixels > 1)
    return a.pixels % kFull == 0 ? launch_feature_distance_as<T, kFull, true>(p, backward, stream)
                                 : launch_feature_distance_as<T, 1, true>(p, backward, stream);
  return a.width % kFull == 0 ? launch_feature_distance_as<T, kFull, false>(p, backward, stream)
                              : launch_feature_distance_as<T, 1, false>(p, backward, stream);
}

// Returns the launch's own error; `features` and its gradient start on 16 bytes.
inline cudaError_t launch_feature_distance(const FeatureDistanceArgs& a, bool backward,
                                           cudaStream_t stream) {
  switch (a.kind) {
    case ScalarKind::f32: return launch_feature_distance_of<float>(a, backward, stream);
    case ScalarKind::f64: return launch_feature_distance_of<double>(a, backward, stream);
    case ScalarKind::f16: return launch_feature_distance_of<Half>(a, backward, stream);
    case ScalarKind::bf16: return launch_feature_distance_of<BFloat16>(a, backward, stream);
  }
  return cudaErrorInvalidValue;
}

}  // namespace fctfast::gpu
