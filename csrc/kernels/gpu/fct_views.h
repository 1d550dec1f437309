// fct_views on the GPU: each output element written once, 16 bytes at a time where rows allow it.
//
// A block makes the table of normalised bytes once and then walks over pieces of views. A thread
// makes V neighbouring elements of one row; warps are laid over small tiles, so that under any
// angle their source pixels fall into few cache lines (a row-wise warp turned by 90 degrees would
// touch one line a lane).
#pragma once

#include "../args.h"
#include "../bilinear.h"
#include "../divider.h"
#include "device.h"

namespace fctfast::gpu {

struct ViewsParams {
  const uint8_t* images;
  const NearestCoefficients* nearest;
  const BilinearCoefficients* bilinear;
  int64_t batch, stride_n, stride_c, stride_y, stride_x;
  int64_t pieces;  // of kThreads vectors each: a sample's views one after the other
  Divider pieces_per_view, views_per_sample, band_vectors;
  int32_t channels, height, width;
  int32_t row_vectors, tile_rows, tile_shift;  // a warp covers tile_rows x 2^tile_shift vectors
  float mean[kMaxChannels], std[kMaxChannels];
  bool originals;
};

// Where in its view the vector with this number lies: bands of tile_rows rows, tiles from left to
// right in a band, rows in a tile.
struct Place {
  int32_t vector, y;
};

__device__ __forceinline__ Place place_of(const ViewsParams& p, int64_t number) {
  const Divided in_band = divide(number, p.band_vectors);
  const int32_t band = static_cast<int32_t>(in_band.quotient);
  const int32_t rest = static_cast<int32_t>(in_band.rest);
  if (p.tile_rows == 1) return {rest, band};
  const int32_t tile = rest / kWarp, in_tile = rest % kWarp;
  const int32_t row = in_tile >> p.tile_shift;
  return {(tile << p.tile_shift) + in_tile - (row << p.tile_shift), band * p.tile_rows + row};
}

// One view of one image: where a pixel of it comes from, and what it becomes.
template <typename T, bool Bilinear>
struct View;

template <typename T>
struct View<T, false> {
  using Entry = T;        // what the table holds
  using Point = int64_t;  // offset of the source pixel in the image; -1 for fill
  const ViewsParams& p;
  const uint8_t* image;
  const T* table;
  NearestCoefficients k;
  bool moved;

  __device__ __forceinline__ View(const ViewsParams& params, const uint8_t* source,
                                  const T* entries, int64_t item)
      : p(params), image(source), table(entries), k{}, moved(item >= 0) {
    if (moved) k = p.nearest[item];
  }

  __device__ __forceinline__ Point locate(int32_t x, int32_t y) const {
    Source s = {x, y, true};
    if (moved) s = nearest_source(k, x, y, p.height, p.width);
    return s.valid ? s.y * p.stride_y + s.x * p.stride_x : -1;
  }

  __device__ __forceinline__ T value(Point from, int32_t c) const {
    const uint8_t byte = from >= 0 ? load(image + c * p.stride_c + from) : uint8_t{0};
    return table[c * 256 + byte];
  }
};

template <typename T>
struct View<T, true> {
  using Entry = float;
  using Point = BilinearPoint<float>;
  const ViewsParams& p;
  const uint8_t* image;
  const float* table;
  BilinearCoefficients k;
  bool moved;

  __device__ __forceinline__ View(const ViewsParams& params, const uint8_t* source,
                                  const float* entries, int64_t item)
      : p(params), image(source), table(entries), k{}, moved(item >= 0) {
    if (moved) k = p.bilinear[item];
  }

  __device__ __forceinline__ Point locate(int32_t x, int32_t y) const {
    return moved ? bilinear_point<float>(k, x, y) : Point{x, y, 0.0f, 0.0f};
  }

  __device__ __forceinline__ float tap(int32_t x, int32_t y, int32_t c) const {
    const bool inside = x >= 0 && x < p.width && y >= 0 && y < p.height;
    const uint8_t byte =
        inside ? load(image + c * p.stride_c + y * p.stride_y + x * p.stride_x) : uint8_t{0};
    return table[c * 256 + byte];
  }

  __device__ __forceinline__ T value(const Point& from, int32_t c) const {
    if (!moved) return narrow<T>(tap(from.x, from.y, c));
    float sum = 0.0f;
#pragma unroll
    for (int t = 0; t < 4; ++t)
      sum += bilinear_weight(from, t) * tap(from.x + (t & 1), from.y + (t >> 1), c);
    return narrow<T>(sum);
  }
};

// V neighbouring elements of row `y`, channels innermost: any number of channels. Neighbouring
// lanes begin with other channels and move on to their next pixel at other times, so a warp goes
// through `locate` up to V times.
template <typename T, int V, typename Source>
__device__ __forceinline__ void write_elements(const ViewsParams& p, const Source& source,
                                               Place place, T* to) {
  const int32_t first = place.vector * V;
  int32_t x = first / p.channels, c = first % p.channels;
  typename Source::Point from = source.locate(x, place.y);
  Vec<T, V> made;
#pragma unroll
  for (int v = 0; v < V; ++v) {
    if (c == p.channels) {
      c = 0;
      from = source.locate(++x, place.y);
    }
    made.at[v] = source.value(from, c++);
  }
  const int64_t row = static_cast<int64_t>(place.y) * p.width * p.channels;
  store_streaming(reinterpret_cast<Vec<T, V>*>(to + row + first), made);
}

// V neighbouring pixels of row `y`, three channels innermost.
template <typename T, int V, typename Source>
__device__ __forceinline__ void write_pixels(const ViewsParams& p, const Source& source,
                                             Place place, T* to) {
  const int32_t x = place.vector * V;
  typename Source::Point from[V];
#pragma unroll
  for (int v = 0; v < V; ++v) from[v] = source.locate(x + v, place.y);
  Vec<T, V> made[3];
#pragma unroll
  for (int e = 0; e < 3 * V; ++e) made[e / V].at[e % V] = source.value(from[e / 3], e % 3);
  auto* row = reinterpret_cast<Vec<T, V>*>(to + 3 * (int64_t{place.y} * p.width + x));
#pragma unroll
  for (int i = 0; i < 3; ++i) store_streaming(row + i, made[i]);
}

// The same V pixels of row `y` in every channel's plane.
template <typename T, int V, typename Source>
__device__ __forceinline__ void write_planes(const ViewsParams& p, const Source& source,
                                             Place place, T* to) {
  const int32_t x = place.vector * V;
  typename Source::Point from[V];
#pragma unroll
  for (int v = 0; v < V; ++v) from[v] = source.locate(x + v, place.y);
  to += static_cast<int64_t>(place.y) * p.width + x;
  const int64_t plane = static_cast<int64_t>(p.height) * p.width;
  for (int32_t c = 0; c < p.channels; ++c, to += plane) {
    Vec<T, V> made;
#pragma unroll
    for (int v = 0; v < V; ++v) made.at[v] = source.value(from[v], c);
    store_streaming(reinterpret_cast<Vec<T, V>*>(to), made);
  }
}

enum class Order { planes, pixels, elements };  // what a thread makes V of, and how they lie

template <typename T, int V, bool Bilinear, Order Writes>
__global__ void __launch_bounds__(kThreads, kBlocksOnUnit)
    fct_views_kernel(const ViewsParams p, T* out) {
  using Source = View<T, Bilinear>;
  using Entry = typename Source::Entry;
  FCT_DYNAMIC_SHARED(bytes);
  Entry* table = reinterpret_cast<Entry*>(bytes);
  for (int32_t i = static_cast<int32_t>(threadIdx.x); i < p.channels * 256; i += kThreads) {
    const float scaled = static_cast<float>(i % 256) / 255.0f;
    table[i] = narrow<Entry>((scaled - p.mean[i / 256]) / p.std[i / 256]);
  }
  __syncthreads();

  const int64_t view_size = static_cast<int64_t>(p.channels) * p.height * p.width;
  for (int64_t piece = blockIdx.x; piece < p.pieces; piece += gridDim.x) {
    const Divided in_view = divide(piece, p.pieces_per_view);
    const Place place = place_of(p, in_view.rest * kThreads + static_cast<int>(threadIdx.x));
    if (place.y >= p.height) continue;
    const Divided in_sample = divide(in_view.quotient, p.views_per_sample);
    const int64_t sample = in_sample.quotient, draw = in_sample.rest - (p.originals ? 1 : 0);
    const Source source(p, p.images + sample * p.stride_n, table,
                        draw < 0 ? -1 : draw * p.batch + sample);
    T* to = out + (in_sample.rest * p.batch + sample) * view_size;
    if constexpr (Writes == Order::planes) {
      write_planes<T, V>(p, source, place, to);
    } else if constexpr (Writes == Order::pixels) {
      write_pixels<T, V>(p, source, place, to);
    } else {
      write_elements<T, V>(p, source, place, to);
    }
  }
}

// A block's table is worth several pieces, as long as enough blocks remain for every unit.
inline int64_t views_blocks(int64_t pieces) {
  constexpr int64_t kPiecesABlock = 8, kEnough = 2048;
  const int64_t few = ceil_div(pieces, kPiecesABlock);
  return few > kEnough ? few : pieces < kEnough ? pieces : kEnough;
}

template <typename T, int V, bool Bilinear, Order Writes>
cudaError_t launch_fct_views_as(ViewsParams p, int64_t views, void* out, cudaStream_t stream) {
  p.row_vectors = (Writes == Order::elements ? p.channels : 1) * p.width / V;
  // Tiles of 8 x 4 or 4 x 8 vectors where rows divide into them; rows one by one elsewhere, and
  // where a row is no wider than a tile.
  p.tile_shift = p.row_vectors % 8 == 0 ? 3 : 2;
  const int32_t tile_vectors = 1 << p.tile_shift;
  const bool tiled = p.row_vectors % tile_vectors == 0 && p.row_vectors > tile_vectors;
  p.tile_rows = tiled ? kWarp / tile_vectors : 1;
  const int64_t band = static_cast<int64_t>(p.row_vectors) * p.tile_rows;
  const int64_t pieces_per_view = ceil_div(ceil_div(p.height, p.tile_rows) * band, kThreads);
  p.band_vectors = make_divider(band);
  p.pieces_per_view = make_divider(pieces_per_view);
  p.views_per_sample = make_divider(views / p.batch);
  p.pieces = pieces_per_view * views;
  const size_t table =
      sizeof(typename View<T, Bilinear>::Entry) * 256 * static_cast<size_t>(p.channels);
  return launch(fct_views_kernel<T, V, Bilinear, Writes>, grid_for(views_blocks(p.pieces)),
                kThreads, table, stream, p, static_cast<T*>(out));
}

template <typename T, bool Bilinear, Order Writes>
cudaError_t launch_fct_views_of(const ViewsParams& p, int64_t views, void* out,
                                cudaStream_t stream) {
  // Where each element gathers four taps, more than four at once only cost registers.
  constexpr int kFull = Bilinear && kFullVec<T> > 4 ? 4 : kFullVec<T>;
  const int64_t row = int64_t{p.width} * (Writes == Order::elements ? p.channels : 1);
  return row % kFull == 0 ? launch_fct_views_as<T, kFull, Bilinear, Writes>(p, views, out, stream)
                          : launch_fct_views_as<T, 1, Bilinear, Writes>(p, views, out, stream);
}

template <typename T, bool Bilinear>
cudaError_t launch_fct_views_by(const FctViewsArgs& a, const ViewsParams& p, int64_t views,
                                cudaStream_t stream) {
  if (!a.channels_last)
    return launch_fct_views_of<T, Bilinear, Order::planes>(p, views, a.out, stream);
  return p.channels == 3
             ? launch_fct_views_of<T, Bilinear, Order::pixels>(p, views, a.out, stream)
             : launch_fct_views_of<T, Bilinear, Order::elements>(p, views, a.out, stream);
}

template <typename T>
cudaError_t launch_fct_views_to(const FctViewsArgs& a, const ViewsParams& p, int64_t views,
                                cudaStream_t stream) {
  return p.bilinear != nullptr ? launch_fct_views_by<T, true>(a, p, views, stream)
                               : launch_fct_views_by<T, false>(a, p, views, stream);
}

// Returns the launch's own error; the caller reports it. At most kMaxChannels channels.
inline cudaError_t launch_fct_views(const FctViewsArgs& a, cudaStream_t stream) {
  ViewsParams p{};
  p.images = a.images;
  p.nearest = a.nearest;
  p.bilinear = a.bilinear;
  p.batch = a.batch;
  p.stride_n = a.stride_n;
  p.stride_c = a.stride_c;
  p.stride_y = a.stride_y;
  p.stride_x = a.stride_x;
  p.channels = static_cast<int32_t>(a.channels);
  p.height = static_cast<int32_t>(a.height);
  p.width = static_cast<int32_t>(a.width);
  p.originals = a.originals;
  for (int64_t c = 0; c < a.channels; ++c) {
    p.mean[c] = a.mean[c];
    p.std[c] = a.std[c];
  }
  const int64_t views = (a.draws + (a.originals ? 1 : 0)) * a.batch;
  if (views * a.channels * a.height * a.width == 0) return cudaSuccess;
  if (a.kind == ScalarKind::f32) return launch_fct_views_to<float>(a, p, views, stream);
  if (a.kind == ScalarKind::f16) return launch_fct_views_to<Half>(a, p, views, stream);
  return launch_fct_views_to<BFloat16>(a, p, views, stream);
}

}  // namespace fctfast::gpu
