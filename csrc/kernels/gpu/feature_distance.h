// feature_distance on the GPU: pooling, difference and sum in one walk over the features.
//
// A channel's sums belong to a few lanes, which add its pixels and then hold the pooled value of
// the sample and of up to kDrawTile of its views at once: for the usual number of draws each
// feature is read exactly once. No thread adds to what another owns. The forward of maps whose
// pixels lie innermost is in feature_maps.h.
#pragma once

#include "feature_maps.h"
#include "feature_params.h"

namespace fctfast::gpu {

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

// Rows, and maps whose channels lie innermost.
template <typename T, int V>
__global__ void __launch_bounds__(kThreads, kBlocksOnUnit)
    feature_distance_kernel(const FeatureParams<T> p) {
  using Acc = Accumulator<T>;
  using Pooled = Pool<T, V, false>;
  const int team_threads = p.team_warps * kWarp, teams = kThreads / team_threads;
  const int member = static_cast<int>(threadIdx.x) % team_threads;
  const Seat seat = seat_of<false>(p.lanes);
  const int channel_of_team = (member / kWarp * (kWarp / p.lanes) + seat.unit) * V;
  const int64_t step = static_cast<int64_t>(team_threads / p.lanes) * V;
  const int64_t units = p.batch * p.parts.count * p.by_tiles.divisor;
  for (int64_t first = blockIdx.x * static_cast<int64_t>(teams); first < units;
       first += static_cast<int64_t>(gridDim.x) * teams) {
    const int64_t number = first + static_cast<int>(threadIdx.x) / team_threads;
    const bool present = number < units;
    const FeatureUnit unit(p, number);
    Acc total[kDrawTile] = {};
    for (int64_t base = 0; base < p.share; base += step) {
      const int64_t channel = unit.channel + base + channel_of_team;
      const bool active = present && channel < unit.end;
      Pooled own, view;
      own.run(p, unit.sample, channel, seat, active);
#pragma unroll
      for (int k = 0; k < kDrawTile; ++k) {
        view.run(p, (unit.draw + k + 1) * p.batch + unit.sample, channel, seat,
                 active && k < unit.views);
#pragma unroll
        for (int v = 0; v < V; ++v) {
          const Acc d = own.sum[v] - view.sum[v];
          total[k] += d * d;
        }
      }
    }
    // Each of a channel's lanes holds its square: one of them counts.
    for (int k = 0; k < kDrawTile; ++k)
      if (seat.lane != 0) total[k] = 0;
    team_sums(total, p.team_warps);
    if (present && member == 0) put_distances(p, unit, total);
  }
}

// Of maps shared out over several blocks.
template <typename Acc>
__global__ void __launch_bounds__(kThreads, kBlocksOnUnit)
    feature_distance_finish_kernel(const Parts<Acc> parts, int64_t items) {
  parts.add_up(items);
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

// ---- launching -------------------------------------------------------------------------------

// As many lanes as a channel has vectors of pixels; or, where channels lie innermost, enough to
// give a block work, with 32 bytes of channels side by side.
template <bool PixelsLast>
int lanes_of(int64_t pixels, int vector, int64_t units) {
  const int64_t most = PixelsLast ? ceil_div(pixels, vector) : std::min(pixels, kThreads / units);
  int lanes = 1;
  while (lanes < (PixelsLast ? kWarp : kWarp / 2) && lanes < most) lanes *= 2;
  return lanes;
}

template <typename T, int V, bool PixelsLast>
cudaError_t launch_feature_gradient(FeatureParams<T> p, cudaStream_t stream) {
  const int64_t units = p.width / Pool<T, V, PixelsLast>::kChannels;
  p.lanes = lanes_of<PixelsLast>(p.pixels, V, units);
  p.per_sample = make_divider(units);
  return launch(feature_distance_backward_kernel<T, V, PixelsLast>,
                grid_for(ceil_div(p.batch * units, kThreads / p.lanes)), kThreads, 0, stream, p);
}

template <typename T, int V>
cudaError_t launch_feature_rows(FeatureParams<T> p, cudaStream_t stream) {
  const int64_t units = p.share / V;
  p.lanes = lanes_of<false>(p.pixels, V, units);
  // About two vectors of each row a thread, so that small batches reach every unit. Never by the
  // batch itself: a sample's bits must not depend on its neighbours.
  p.team_warps = 1;
  while (p.team_warps < kThreads / kWarp && kWarp * p.team_warps < units * p.lanes &&
         p.share * p.pixels > 2 * V * kWarp * p.team_warps)
    p.team_warps *= 2;
  const int64_t teams = kThreads / kWarp / p.team_warps;
  return launch(feature_distance_kernel<T, V>,
                grid_for(ceil_div(p.batch * p.parts.count * p.by_tiles.divisor, teams)), kThreads,
                0, stream, p);
}

inline bool pixels_innermost(const FeatureDistanceArgs& a) { return a.pixels_last && a.pixels > 1; }

// Channels of a part: of a row all of them; of a map whose channels lie innermost 64 threads'
// vectors, which leaves a block four lanes a channel, with several pixels' loads under way in each.
// By a row's size alone, see MapPlan.
inline int64_t feature_share(const FeatureDistanceArgs& a) {
  const int64_t size = a.kind == ScalarKind::f64 ? 8 : a.kind == ScalarKind::f32 ? 4 : 2;
  if (a.pixels == 1) return a.width;
  return a.pixels_last ? map_plan(a.width, a.pixels, size).share
                       : std::min(a.width, 64 * 16 / size);
}

inline int64_t feature_parts(const FeatureDistanceArgs& a) {
  return ceil_div(a.width, feature_share(a));
}

// Numbers of the accumulator's type that the forward needs as scratch; 0: none.
inline int64_t feature_distance_scratch(const FeatureDistanceArgs& a) {
  const int64_t parts = feature_parts(a);
  return parts > 1 ? a.draws * a.batch * parts : 0;
}

template <typename T>
cudaError_t launch_feature_distance_forward(const FeatureDistanceArgs& a, void* partial,
                                            FeatureParams<T> p, cudaStream_t stream) {
  using Acc = Accumulator<T>;
  p.parts = {static_cast<Acc*>(partial), static_cast<Acc*>(a.distance), feature_parts(a),
             static_cast<Acc>(a.scale)};
  p.share = feature_share(a);
  p.by_tiles = make_divider(ceil_div(p.draws, kDrawTile));
  p.by_parts = make_divider(p.parts.count);
  const cudaError_t error = pixels_innermost(a) ? launch_feature_maps(p, stream)
                            : a.width % kFullVec<T> == 0
                                ? launch_feature_rows<T, kFullVec<T>>(p, stream)
                                : launch_feature_rows<T, 1>(p, stream);
  if (error != cudaSuccess || p.parts.count == 1) return error;
  const int64_t items = p.draws * p.batch;
  return launch(feature_distance_finish_kernel<Acc>, add_up_grid(items), kThreads, 0, stream,
                p.parts, items);
}

template <typename T>
cudaError_t launch_feature_distance_of(const FeatureDistanceArgs& a, void* partial, bool backward,
                                       cudaStream_t stream) {
  using Acc = Accumulator<T>;
  constexpr int kFull = kFullVec<T>;
  FeatureParams<T> p{};
  p.features = static_cast<const T*>(a.features);
  p.batch = a.batch;
  p.draws = a.draws;
  p.width = a.width;
  p.pixels = a.pixels;
  if (a.batch * a.width * a.pixels == 0) return cudaSuccess;
  if (!backward) return launch_feature_distance_forward(a, partial, p, stream);
  p.scale = static_cast<Acc>(2.0 * a.scale / static_cast<double>(a.pixels));
  p.grad = static_cast<const Acc*>(a.grad);
  p.grad_features = static_cast<T*>(a.grad_features);
  if (pixels_innermost(a))
    return a.pixels % kFull == 0 ? launch_feature_gradient<T, kFull, true>(p, stream)
                                 : launch_feature_gradient<T, 1, true>(p, stream);
  return a.width % kFull == 0 ? launch_feature_gradient<T, kFull, false>(p, stream)
                              : launch_feature_gradient<T, 1, false>(p, stream);
}

// Returns the launch's own error; `features` and its gradient start on 16 bytes. partial:
// feature_distance_scratch(a) numbers; forward.
inline cudaError_t launch_feature_distance(const FeatureDistanceArgs& a, void* partial,
                                           bool backward, cudaStream_t stream) {
  switch (a.kind) {
    case ScalarKind::f32: return launch_feature_distance_of<float>(a, partial, backward, stream);
    case ScalarKind::f64: return launch_feature_distance_of<double>(a, partial, backward, stream);
    case ScalarKind::f16: return launch_feature_distance_of<Half>(a, partial, backward, stream);
    case ScalarKind::bf16:
      return launch_feature_distance_of<BFloat16>(a, partial, backward, stream);
  }
  return cudaErrorInvalidValue;
}

}  // namespace fctfast::gpu
