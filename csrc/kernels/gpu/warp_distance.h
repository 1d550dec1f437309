// How the kernels of warp_distance are launched: vectors, parts of pixels and channels, fills.
#pragma once

#include <algorithm>
#include <cstring>

#include "warp_backward.h"

namespace fctfast::gpu {

// How an item's pixels are dealt out: by the shape alone, so that a sample's bits do not depend
// on its neighbours.
struct WarpPlan {
  int pixel_threads;
  int64_t pixel_parts, parts;
};

inline WarpPlan warp_plan(const WarpDistanceArgs& a, int vector) {
  const int64_t vectors = ceil_div(a.height * a.width, vector);
  WarpPlan plan{1, 1, 1};
  while (plan.pixel_threads < kThreads && plan.pixel_threads < vectors) plan.pixel_threads *= 2;
  // About four vectors a thread in each channel, if the image is that large.
  plan.pixel_parts = std::min(ceil_div(vectors, int64_t{4} * plan.pixel_threads), kMaxParts);
  // Small planes leave threads for channels, of which each takes about four as well.
  const int64_t channels = ceil_div(a.channels, int64_t{4} * (kThreads / plan.pixel_threads));
  plan.parts = plan.pixel_parts;
  if (plan.pixel_parts == 1) plan.parts = std::min(channels, kMaxParts);
  return plan;
}

inline int warp_vector(const WarpDistanceArgs& a) {
  const int full = a.nearest == nullptr        ? kWarpVec<float, true>
                   : a.kind == ScalarKind::f64 ? kWarpVec<double, false>
                   : a.kind == ScalarKind::f32 ? kWarpVec<float, false>
                                               : kWarpVec<Half, false>;
  return a.height * a.width % full == 0 ? full : 1;
}

// Numbers of the accumulator's type that the forward needs as scratch; 0: none.
inline int64_t warp_distance_scratch(const WarpDistanceArgs& a) {
  const int64_t parts = warp_plan(a, warp_vector(a)).parts;
  return parts > 1 ? a.draws * a.batch * parts : 0;
}

template <typename T, bool Bilinear>
cudaError_t launch_warp_distance_as(const WarpDistanceArgs& a, WarpParams<T> p, bool backward,
                                    cudaStream_t stream) {
  if (backward) {
    const int64_t units = a.batch * ceil_div(a.channels, kChannelTile) * a.height * a.width;
    return launch(warp_distance_backward_kernel<T, Bilinear>, grid_for(ceil_div(units, kThreads)),
                  kThreads, 0, stream, p);
  }
  const unsigned grid = grid_for(a.draws * a.batch * p.parts.count);
  const cudaError_t error =
      warp_vector(a) == 1
          ? launch(warp_distance_kernel<T, 1, Bilinear>, grid, kThreads, 0, stream, p)
          : launch(warp_distance_kernel<T, kWarpVec<T, Bilinear>, Bilinear>, grid, kThreads, 0,
                   stream, p);
  if (error != cudaSuccess || p.parts.count == 1) return error;
  const int64_t items = a.draws * a.batch;
  return launch(warp_distance_finish_kernel<Accumulator<T>>, add_up_grid(items), kThreads, 0,
                stream, p.parts, items);
}

// How the fills reach the kernel: as its arguments while they are few or all alike.
enum class Fills { one, few, many };

inline Fills fills_of(const WarpDistanceArgs& a) {
  bool one = true;
  for (int64_t c = 1; c < a.channels; ++c)  // by bits: a NaN is like itself
    one = one && std::memcmp(&a.fill[c], &a.fill[0], sizeof a.fill[0]) == 0;
  return one ? Fills::one : a.channels <= kMaxChannels ? Fills::few : Fills::many;
}

// What the launch needs on the device beside its arguments, of the accumulator's type.
struct WarpScratch {
  void* partial;      // warp_distance_scratch(a) numbers; forward
  const void* fills;  // [channels] where fills_of(a) is `many`
};

template <typename T>
cudaError_t launch_warp_distance_of(const WarpDistanceArgs& a, const WarpScratch& scratch,
                                    bool backward, cudaStream_t stream) {
  using Acc = Accumulator<T>;
  const WarpPlan plan = warp_plan(a, warp_vector(a));
  WarpParams<T> p{};
  p.x = static_cast<const T*>(a.x);
  p.nearest = a.nearest;
  p.bilinear = a.bilinear;
  p.batch = a.batch;
  p.draws = a.draws;
  p.channels = a.channels;
  p.height = static_cast<int32_t>(a.height);
  p.width = static_cast<int32_t>(a.width);
  p.parts = {static_cast<Acc*>(scratch.partial), static_cast<Acc*>(a.distance), plan.parts,
             static_cast<Acc>(a.scale)};
  p.pixel_parts = plan.pixel_parts;
  p.by_parts = make_divider(plan.parts);
  p.by_draws = make_divider(std::max<int64_t>(a.draws, 1));
  p.by_plane = make_divider(a.height * a.width);
  p.by_tiles = make_divider(ceil_div(a.channels, kChannelTile));
  p.pixel_threads = plan.pixel_threads;
  p.scale = static_cast<Acc>(2.0 * a.scale);
  p.grad = static_cast<const Acc*>(a.grad);
  p.grad_x = static_cast<T*>(a.grad_x);
  const Fills fills = fills_of(a);
  p.one_fill = fills == Fills::one;
  p.fills = fills == Fills::many ? static_cast<const Acc*>(scratch.fills) : nullptr;
  for (int64_t c = 0; c < a.channels && c < kMaxChannels; ++c)
    p.fill[c] = static_cast<Acc>(a.fill[c]);
  return a.nearest != nullptr ? launch_warp_distance_as<T, false>(a, p, backward, stream)
                              : launch_warp_distance_as<T, true>(a, p, backward, stream);
}

// Returns the launch's own error. `x` starts on 16 bytes.
inline cudaError_t launch_warp_distance(const WarpDistanceArgs& a, const WarpScratch& scratch,
                                        bool backward, cudaStream_t stream) {
  if (a.batch * a.channels * a.height * a.width == 0) return cudaSuccess;
  switch (a.kind) {
    case ScalarKind::f32: return launch_warp_distance_of<float>(a, scratch, backward, stream);
    case ScalarKind::f64: return launch_warp_distance_of<double>(a, scratch, backward, stream);
    case ScalarKind::f16: return launch_warp_distance_of<Half>(a, scratch, backward, stream);
    case ScalarKind::bf16: return launch_warp_distance_of<BFloat16>(a, scratch, backward, stream);
  }
  return cudaErrorInvalidValue;
}

}  // namespace fctfast::gpu
