// warp_distance on the GPU: the warp is gathered while the distance is summed, never stored.
// A thread finds the source of V neighbouring pixels once and takes it for many channels.
#pragma once

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

}  // namespace fctfast::gpu
