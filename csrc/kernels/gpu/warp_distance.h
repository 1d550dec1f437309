// warp_distance on the GPU: the warp is gathered while the distance is summed, never stored.
//
// A thread finds the source of V neighbouring pixels once and takes it for many channels. The
// gradient is gathered as well: a pixel looks up which pixels of the warp took from it, so every
// element is written by one thread, without atomics.
#pragma once

#include <algorithm>
#include <cstring>

#include "../args.h"
#include "../bilinear.h"
#include "../divider.h"
#include "parts.h"

namespace fctfast::gpu {

constexpr int64_t kMaxParts = 32;
constexpr int kChannelTile = 4;
// Four taps and their weights are held for each pixel of a vector while channels pass by: for more
// than two pixels the registers do not suffice.
template <typename T, bool Bilinear>
constexpr int kWarpVec = Bilinear ? 2 : kFullVec<T>;

template <typename T>
struct WarpParams {
  using Acc = Accumulator<T>;
  const T* x;  // [batch, channels, height, width]
  const NearestCoefficients* nearest;
  const BilinearCoefficients* bilinear;
  int64_t batch, draws, channels;
  int32_t height, width;
  // Blocks that share an item: parts of the pixels times parts of the channels.
  int64_t pixel_parts;
  Parts<Acc> parts;  // of the distances [draws][batch]
  Divider by_parts, by_draws, by_plane, by_tiles;
  int pixel_threads;  // threads of a block along pixels (a power of two); the rest: channels
  Acc scale;          // of the gradient
  const Acc* grad;    // [draws][batch]
  T* grad_x;          // like x
  const Acc* fills;   // [channels] on the device, or null: `fill`
  Acc fill[kMaxChannels];
  bool one_fill;  // fill[0] holds for every channel

  __device__ __forceinline__ Acc fill_of(int64_t channel) const {
    return fills != nullptr ? load(fills + channel) : fill[one_fill ? 0 : channel];
  }
};

// Where one pixel of the warp takes its value from.
template <typename T, bool Bilinear>
struct Taker;

template <typename T>
struct Taker<T, false> {
  using Acc = Accumulator<T>;
  int32_t index;  // into the plane; -1 for fill

  __device__ __forceinline__ void locate(const WarpParams<T>& p, int64_t item, int32_t x,
                                         int32_t y) {
    const Source s = nearest_source(p.nearest[item], x, y, p.height, p.width);
    index = s.valid ? s.y * p.width + s.x : -1;
  }
  __device__ __forceinline__ Acc value(const WarpParams<T>&, const T* plane, Acc fill) const {
    return index >= 0 ? widen(load(plane + index)) : fill;
  }
  // Whether it takes of the pixel at (x, y), and how much.
  __device__ __forceinline__ bool takes(const WarpParams<T>& p, int32_t x, int32_t y) const {
    return index == y * p.width + x;
  }
  __device__ __forceinline__ Acc share(int32_t, int32_t) const { return Acc{1}; }
};

template <typename T>
struct Taker<T, true> {
  using Acc = Accumulator<T>;
  BilinearPoint<Acc> point;

  __device__ __forceinline__ void locate(const WarpParams<T>& p, int64_t item, int32_t x,
                                         int32_t y) {
    point = bilinear_point<Acc>(p.bilinear[item], x, y);
  }
  __device__ __forceinline__ Acc value(const WarpParams<T>& p, const T* plane, Acc fill) const {
    Acc sum = 0;
#pragma unroll
    for (int t = 0; t < 4; ++t) {
      const int32_t x = point.x + (t & 1), y = point.y + (t >> 1);
      const bool inside = x >= 0 && x < p.width && y >= 0 && y < p.height;
      sum += bilinear_weight(point, t) * (inside ? widen(load(plane + y * p.width + x)) : fill);
    }
    return sum;
  }
  // A tap of weight 0 counts: 0 times infinity is NaN, as on the CPU.
  __device__ __forceinline__ bool takes(const WarpParams<T>&, int32_t x, int32_t y) const {
    return ((x - point.x) & ~1) == 0 && ((y - point.y) & ~1) == 0;
  }
  __device__ __forceinline__ Acc share(int32_t x, int32_t y) const {
    return bilinear_weight(point, x - point.x + 2 * (y - point.y));
  }
};

// V is 1 or kWarpVec and divides the plane. Vectors are dealt in turn to the threads of the item's
// pixel parts, channels to the rows of threads of its channel parts.
template <typename T, int V, bool Bilinear>
__device__ __forceinline__ Accumulator<T> part_distance(const WarpParams<T>& p, int64_t sample,
                                                        int64_t draw, int64_t part) {
  using Acc = Accumulator<T>;
  using Vector = Vec<T, V>;
  const int64_t plane_size = static_cast<int64_t>(p.height) * p.width;
  const T* image = p.x + sample * p.channels * plane_size;
  const int32_t pixel_part = static_cast<int32_t>(part) % static_cast<int32_t>(p.pixel_parts);
  const int32_t channel_part = static_cast<int32_t>(part) / static_cast<int32_t>(p.pixel_parts);
  const int pixel_thread = static_cast<int>(threadIdx.x) % p.pixel_threads;
  const int channel_thread = static_cast<int>(threadIdx.x) / p.pixel_threads;
  const int channel_threads = kThreads / p.pixel_threads;
  const int64_t first_channel = int64_t{channel_part} * channel_threads + channel_thread;
  const int64_t channel_step = p.parts.count / p.pixel_parts * channel_threads;
  const int64_t item = draw * p.batch + sample;
  Acc sum = 0;
  for (int64_t pixel = (int64_t{pixel_part} * p.pixel_threads + pixel_thread) * V;
       pixel < plane_size; pixel += p.pixel_parts * p.pixel_threads * V) {
    Taker<T, Bilinear> from[V];
    int32_t y = static_cast<int32_t>(pixel) / p.width, x = static_cast<int32_t>(pixel) % p.width;
#pragma unroll
    for (int v = 0; v < V; ++v) {
      from[v].locate(p, item, x, y);
      if (++x == p.width) x = 0, ++y;
    }
    for (int64_t c = first_channel; c < p.channels; c += channel_step) {
      const T* plane = image + c * plane_size;
      const Acc fill = p.fill_of(c);
      const Vector own = load(reinterpret_cast<const Vector*>(plane + pixel));
#pragma unroll
      for (int v = 0; v < V; ++v) {
        const Acc d = widen(own.at[v]) - from[v].value(p, plane, fill);
        sum += d * d;
      }
    }
  }
  return sum;
}

template <typename T, int V, bool Bilinear>
__global__ void __launch_bounds__(kThreads, kBlocksOnUnit)
    warp_distance_kernel(const WarpParams<T> p) {
  const int64_t units = p.draws * p.batch * p.parts.count;
  for (int64_t unit = blockIdx.x; unit < units; unit += gridDim.x) {
    const Divided of_item = divide(unit, p.by_parts);
    const Divided of_sample = divide(of_item.quotient, p.by_draws);
    const int64_t sample = of_sample.quotient, draw = of_sample.rest;
    Accumulator<T> sum[1] = {part_distance<T, V, Bilinear>(p, sample, draw, of_item.rest)};
    team_sums(sum, kThreads / kWarp);
    if (threadIdx.x == 0) p.parts.put(draw * p.batch + sample, of_item.rest, sum[0]);
  }
}

template <typename Acc>
__global__ void __launch_bounds__(kThreads, kBlocksOnUnit)
    warp_distance_finish_kernel(const Parts<Acc> parts, int64_t items) {
  parts.add_up(items);
}

// The pixel of the warp, before the shift in nearest mode, whose sampling point comes closest to
// the middle of (x, y): the linear system of the map's own coefficients, not the ideal rotation.
struct Middle {
  float x, y;
};

__device__ __forceinline__ Middle solve(float xx, float xy, float yx, float yy, float tx,
                                        float ty) {
  const float inverse = 1.0f / (xx * yy - xy * yx);
  return {(yy * tx - xy * ty) * inverse, (xx * ty - yx * tx) * inverse};
}

__device__ __forceinline__ Middle middle_of(const NearestCoefficients& k, int32_t x, int32_t y) {
  constexpr float kUnit = 0x1p-16f;
  const Middle m = solve(k.xx * kUnit, k.xy * kUnit, k.yx * kUnit, k.yy * kUnit,
                         x + 0.5f - k.x0 * kUnit, y + 0.5f - k.y0 * kUnit);
  return {m.x + k.dx, m.y + k.dy};
}

__device__ __forceinline__ Middle middle_of(const BilinearCoefficients& k, int32_t x, int32_t y) {
  constexpr float kUnit = 0x1p-32f;
  return solve(k.xx * kUnit, k.xy * kUnit, k.yx * kUnit, k.yy * kUnit, x - k.x0 * kUnit,
               y - k.y0 * kUnit);
}

// The pixels that take from another lie within a unit square (nearest) or one of side 2 (bilinear)
// around its middle, turned by any angle: at most .708 or 1.415 away along an axis, and .76 or 1.46
// with what float32 errs at the longest side. That leaves two or three whole numbers an axis.
template <bool Bilinear>
constexpr float kReach = Bilinear ? 1.46f : 0.76f;
template <bool Bilinear>
constexpr int32_t kCandidates = Bilinear ? 3 : 2;

// Gradient of one pixel in up to kChannelTile channels: its own difference, and what the pixels
// that took from it push back.
template <typename T, bool Bilinear>
__device__ __forceinline__ void pixel_gradient(const WarpParams<T>& p, int64_t sample,
                                               int64_t first_channel, int count, int32_t x,
                                               int32_t y) {
  using Acc = Accumulator<T>;
  const int64_t plane_size = static_cast<int64_t>(p.height) * p.width;
  const int64_t offset = (sample * p.channels + first_channel) * plane_size;
  const int64_t pixel = static_cast<int64_t>(y) * p.width + x;
  const T* planes = p.x + offset;
  Acc total[kChannelTile] = {};
  for (int64_t draw = 0; draw < p.draws; ++draw) {
    const int64_t item = draw * p.batch + sample;
    const Acc g = p.grad[item] * p.scale;
    Taker<T, Bilinear> from;
    from.locate(p, item, x, y);
#pragma unroll
    for (int c = 0; c < kChannelTile; ++c) {
      if (c >= count) break;
      const T* plane = planes + c * plane_size;
      total[c] +=
          g * (widen(load(plane + pixel)) - from.value(p, plane, p.fill_of(first_channel + c)));
    }
    Middle middle;
    if constexpr (Bilinear) {
      middle = middle_of(p.bilinear[item], x, y);
    } else {
      middle = middle_of(p.nearest[item], x, y);
    }
    const int32_t left = static_cast<int32_t>(ceilf(middle.x - kReach<Bilinear>));
    const int32_t top = static_cast<int32_t>(ceilf(middle.y - kReach<Bilinear>));
    for (int32_t ty = top; ty < top + kCandidates<Bilinear>; ++ty)
      for (int32_t tx = left; tx < left + kCandidates<Bilinear>; ++tx) {
        if (tx < 0 || tx >= p.width || ty < 0 || ty >= p.height) continue;
        Taker<T, Bilinear> taker;
        taker.locate(p, item, tx, ty);
        if (!taker.takes(p, x, y)) continue;
        const Acc share = taker.share(x, y);
        const int64_t at = static_cast<int64_t>(ty) * p.width + tx;
#pragma unroll
        for (int c = 0; c < kChannelTile; ++c) {
          if (c >= count) break;
          const T* plane = planes + c * plane_size;
          total[c] -=
              share *
              (g * (widen(load(plane + at)) - taker.value(p, plane, p.fill_of(first_channel + c))));
        }
      }
  }
#pragma unroll
  for (int c = 0; c < kChannelTile; ++c)
    if (c < count) store_streaming(p.grad_x + offset + c * plane_size + pixel, narrow<T>(total[c]));
}

template <typename T, bool Bilinear>
__global__ void __launch_bounds__(kThreads, kBlocksOnUnit)
    warp_distance_backward_kernel(const WarpParams<T> p) {
  const int64_t plane_size = static_cast<int64_t>(p.height) * p.width;
  const int64_t tiles = ceil_div(p.channels, kChannelTile), units = p.batch * tiles * plane_size;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t unit = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; unit < units;
       unit += step) {
    const Divided in_plane = divide(unit, p.by_plane),
                  in_sample = divide(in_plane.quotient, p.by_tiles);
    const int32_t pixel = static_cast<int32_t>(in_plane.rest);
    const int64_t sample = in_sample.quotient, channel = in_sample.rest * kChannelTile;
    const int64_t left = p.channels - channel;
    pixel_gradient<T, Bilinear>(p, sample, channel,
                                left < kChannelTile ? static_cast<int>(left) : kChannelTile,
                                pixel % p.width, pixel / p.width);
  }
}

// ---- launching -------------------------------------------------------------------------------

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
