// contrastive_views on the GPU: crop, resize, flip, colours and normalising in one walk from bytes,
// each output element written once.
//
// A view is cut into parts of kPart pixels, a block each. The mean grey that a contrast needs comes
// from the block itself if it has the whole view, else from a walk of its own before.
#pragma once

#include <algorithm>

#include "../colour.h"
#include "../resampling.h"
#include "reduce.h"

namespace fctfast::gpu {

constexpr int kPixelsOfThread = 4;  // a 32 x 32 view is one block's
constexpr int32_t kPart = kThreads * kPixelsOfThread;
constexpr int kViewsBlocksOnUnit = 4;  // gathers wait for memory; more would spill
constexpr int kGreysBlocksOnUnit = 3;

struct ContrastiveParams {
  const uint8_t* images;
  const float* params;  // [rows][kContrastiveWords]
  int64_t* greys;       // [rows][grey_parts]
  int64_t rows, parts, grey_parts;
  int64_t stride_n, stride_c, stride_y, stride_x;
  Divider by_parts, by_grey_parts, by_batch, by_width;
  Axis across, down;
  int32_t height, width, pixels;
  float grey_scale;
  float mean[3], scale[3];
};

// One view: its plan and where its crop begins.
struct ContrastiveView {
  ViewPlan plan;
  const uint8_t* crop;

  __device__ __forceinline__ ContrastiveView(const ContrastiveParams& p, int64_t row)
      : plan(view_plan(p.params + row * kContrastiveWords, p.height, p.width)) {
    const int64_t sample = divide(row, p.by_batch).rest;
    crop = p.images + sample * p.stride_n + plan.top * p.stride_y + plan.left * p.stride_x;
  }
};

// One pixel of the resized crop. Both sums are taken in the CPU's order.
template <int C>
__device__ __forceinline__ Colour<float> resized(const ContrastiveParams& p,
                                                 const ContrastiveView& view, int32_t pixel) {
  const Divided place = divide(pixel, p.by_width);
  const int32_t y = static_cast<int32_t>(place.quotient), x = static_cast<int32_t>(place.rest);
  const AxisTaps rows = taps_of(p.down, view.plan.height, y);
  const AxisTaps columns =
      taps_of(p.across, view.plan.width, view.plan.flip ? p.across.outputs - 1 - x : x);
  const uint8_t* line = view.crop + rows.first * p.stride_y + columns.first * p.stride_x;
  float sum[C] = {};
  float down = rows.distance;
  for (int32_t r = 0; r < rows.count; ++r, down += rows.spacing, line += p.stride_y) {
    float row[C] = {};
    float across = columns.distance;
    const uint8_t* at = line;
    for (int32_t t = 0; t < columns.count; ++t, across += columns.spacing, at += p.stride_x) {
      const float weight = columns.weight(across);
#pragma unroll
      for (int c = 0; c < C; ++c) row[c] += weight * static_cast<float>(load(at + c * p.stride_c));
    }
    const float weight = rows.weight(down);
#pragma unroll
    for (int c = 0; c < C; ++c) sum[c] += weight * row[c];
  }
  const float scale = 1.0f / columns.total() * (1.0f / rows.total() * kByte);
  return {sum[0] * scale, sum[C == 3 ? 1 : 0] * scale, sum[C == 3 ? 2 : 0] * scale};
}

// Steps [begin, end) of the view's colours, the same for every thread of the block.
template <int C, int N>
__device__ __forceinline__ void walk(const ViewPlan& plan, int32_t begin, int32_t end, float mean,
                                     Colour<float> (&x)[N]) {
#pragma unroll 1
  for (int32_t step = begin; step < end; ++step)
#pragma unroll
    for (int i = 0; i < N; ++i) x[i] = colour_step(x[i], plan, step, mean, C == 3);
}

template <int C>
__device__ __forceinline__ int64_t grey_steps(const Colour<float>& x) {
  return static_cast<int32_t>(grey_of(x, C == 3) * kGreySteps);
}

// Of a view that one block has whole; every thread of the block calls. Pixels past its end are
// black, which they stay up to contrast, and add nothing.
template <int C>
__device__ __forceinline__ float mean_in_block(const ContrastiveParams& p,
                                               const Colour<float> (&x)[kPixelsOfThread]) {
  int64_t total[1] = {0};
#pragma unroll
  for (int i = 0; i < kPixelsOfThread; ++i) total[0] += grey_steps<C>(x[i]);
  team_sums(total, kThreads / kWarp);
  FCT_SHARED(float, mean, 1);
  if (threadIdx.x == 0) mean[0] = mean_grey(total[0], p.grey_scale);
  __syncthreads();  // before the next view's is written, team_sums brings all threads together
  return mean[0];
}

// Of a view whose parts' sums the walk before has left; every lane of a warp calls.
__device__ __forceinline__ float mean_of_parts(const ContrastiveParams& p, int64_t row) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t part = lane < p.grey_parts ? load(p.greys + row * p.grey_parts + lane) : 0;
  return mean_grey(lane_sum(part), p.grey_scale);
}

template <typename T>
__device__ __forceinline__ T normalised(const ContrastiveParams& p, const Colour<float>& x, int c) {
  const float value = c == 0 ? x.r : c == 1 ? x.g : x.b;
  return narrow<T>((value - p.mean[c]) * p.scale[c]);
}

// One pixel a lane: planes are written as they lie; interleaved channels are brought into the
// order of memory first, so that a warp's store is one run of bytes.
template <typename T, int C, bool Interleaved>
__device__ __forceinline__ void write_pixels(const ContrastiveParams& p, int64_t row, int32_t first,
                                             const Colour<float> (&x)[kPixelsOfThread], T* out) {
  out += row * C * p.pixels;
#pragma unroll
  for (int i = 0; i < kPixelsOfThread; ++i) {
    const int32_t pixel = first + i * kThreads;
    if constexpr (!Interleaved) {
      if (pixel >= p.pixels) break;
#pragma unroll
      for (int c = 0; c < C; ++c)
        store_streaming(out + int64_t{c} * p.pixels + pixel, normalised<T>(p, x[i], c));
    } else {
      FCT_SHARED(T, staged, kThreads * C);
      const int lane = static_cast<int>(threadIdx.x) % kWarp;
      T* mine = staged + (static_cast<int>(threadIdx.x) - lane) * C;
#pragma unroll
      for (int c = 0; c < C; ++c) mine[lane * C + c] = normalised<T>(p, x[i], c);
      __syncwarp();
      const int64_t start = int64_t{pixel - lane} * C;
#pragma unroll
      for (int c = 0; c < C; ++c) {
        const int element = c * kWarp + lane;
        if (start + element < int64_t{p.pixels} * C)
          store_streaming(out + start + element, mine[element]);
      }
      __syncwarp();
    }
  }
}

template <typename T, int C, bool Interleaved>
__global__ void __launch_bounds__(kThreads, kViewsBlocksOnUnit)
    contrastive_views_kernel(const ContrastiveParams p, T* out) {
  const int64_t units = p.rows * p.parts;
  for (int64_t unit = blockIdx.x; unit < units; unit += gridDim.x) {
    const Divided of_row = divide(unit, p.by_parts);
    const int64_t row = of_row.quotient;
    const ContrastiveView view(p, row);
    const ViewPlan& plan = view.plan;
    const int32_t first =
        static_cast<int32_t>(of_row.rest) * kPart + static_cast<int32_t>(threadIdx.x);
    Colour<float> x[kPixelsOfThread] = {};
#pragma unroll
    for (int i = 0; i < kPixelsOfThread; ++i)
      if (first + i * kThreads < p.pixels) x[i] = resized<C>(p, view, first + i * kThreads);
    if (plan.mean_at < plan.steps) {  // the same for the whole block
      walk<C>(plan, 0, plan.mean_at, 0.0f, x);
      const float mean = p.parts == 1 ? mean_in_block<C>(p, x) : mean_of_parts(p, row);
      walk<C>(plan, plan.mean_at, plan.steps, mean, x);
    }
    if (C == 3 && plan.grey) {
#pragma unroll
      for (int i = 0; i < kPixelsOfThread; ++i) x[i].r = x[i].g = x[i].b = grey_of(x[i], true);
    }
    write_pixels<T, C, Interleaved>(p, row, first, x, out);
  }
}

// Sums of the greys before contrast, of the views that draw it: at most a warp's parts each.
template <int C>
__global__ void __launch_bounds__(kThreads, kGreysBlocksOnUnit)
    contrastive_greys_kernel(const ContrastiveParams p) {
  const int64_t units = p.rows * p.grey_parts;
  for (int64_t unit = blockIdx.x; unit < units; unit += gridDim.x) {
    const Divided of_row = divide(unit, p.by_grey_parts);
    const ContrastiveView view(p, of_row.quotient);
    if (view.plan.mean_at == view.plan.steps) continue;  // the same for the whole block
    int64_t total[1] = {0};
    const int32_t first = static_cast<int32_t>(of_row.rest) * kThreads;
    const int32_t stride = static_cast<int32_t>(p.grey_parts) * kThreads;
    for (int32_t pixel = first + static_cast<int32_t>(threadIdx.x); pixel < p.pixels;
         pixel += stride) {
      Colour<float> x[1] = {resized<C>(p, view, pixel)};
      walk<C>(view.plan, 0, view.plan.mean_at, 0.0f, x);
      total[0] += grey_steps<C>(x[0]);
    }
    team_sums(total, kThreads / kWarp);
    if (threadIdx.x == 0) p.greys[unit] = total[0];
  }
}

// ---- launching -------------------------------------------------------------------------------

inline int64_t contrastive_parts(const ContrastiveViewsArgs& a) {
  return ceil_div(a.out_height * a.out_width, kPart);
}

// Blocks that share the walk before; 0: none is needed.
inline int64_t contrastive_grey_parts(const ContrastiveViewsArgs& a) {
  const int64_t parts = contrastive_parts(a);
  return parts > 1 ? std::min<int64_t>(parts, kWarp) : 0;
}

// Whole numbers of 64 bits that the launch needs as scratch.
inline int64_t contrastive_views_scratch(const ContrastiveViewsArgs& a) {
  return a.rows * contrastive_grey_parts(a);
}

template <typename T>
cudaError_t launch_contrastive_views_to(const ContrastiveViewsArgs& a, const ContrastiveParams& p,
                                        cudaStream_t stream) {
  const unsigned grid = grid_for(p.rows * p.parts);
  T* out = static_cast<T*>(a.out);
  if (a.channels == 1)
    return launch(contrastive_views_kernel<T, 1, false>, grid, kThreads, 0, stream, p, out);
  return a.channels_last
             ? launch(contrastive_views_kernel<T, 3, true>, grid, kThreads, 0, stream, p, out)
             : launch(contrastive_views_kernel<T, 3, false>, grid, kThreads, 0, stream, p, out);
}

// Returns the launch's own error. `greys` has room for contrastive_views_scratch(a) numbers.
inline cudaError_t launch_contrastive_views(const ContrastiveViewsArgs& a, int64_t* greys,
                                            cudaStream_t stream) {
  if (a.rows == 0) return cudaSuccess;
  const int64_t pixels = a.out_height * a.out_width;
  ContrastiveParams p{};
  p.images = a.images;
  p.params = a.params;
  p.greys = greys;
  p.rows = a.rows;
  p.parts = contrastive_parts(a);
  p.grey_parts = contrastive_grey_parts(a);
  p.stride_n = a.stride_n;
  p.stride_c = a.stride_c;
  p.stride_y = a.stride_y;
  p.stride_x = a.stride_x;
  p.by_parts = make_divider(p.parts);
  p.by_grey_parts = make_divider(std::max<int64_t>(p.grey_parts, 1));
  p.by_batch = make_divider(a.batch);
  p.by_width = make_divider(a.out_width);
  p.across = make_axis(a.out_width);
  p.down = make_axis(a.out_height);
  p.height = static_cast<int32_t>(a.height);
  p.width = static_cast<int32_t>(a.width);
  p.pixels = static_cast<int32_t>(pixels);
  p.grey_scale = mean_grey_scale(pixels);
  for (int64_t c = 0; c < a.channels; ++c) {
    p.mean[c] = a.mean[c];
    p.scale[c] = 1.0f / a.std[c];
  }
  if (p.grey_parts > 0) {
    const auto kernel = a.channels == 1 ? contrastive_greys_kernel<1> : contrastive_greys_kernel<3>;
    const cudaError_t error =
        launch(kernel, grid_for(p.rows * p.grey_parts), kThreads, 0, stream, p);
    if (error != cudaSuccess) return error;
  }
  switch (a.kind) {
    case ScalarKind::f16: return launch_contrastive_views_to<Half>(a, p, stream);
    case ScalarKind::bf16: return launch_contrastive_views_to<BFloat16>(a, p, stream);
    default: return launch_contrastive_views_to<float>(a, p, stream);
  }
}

}  // namespace fctfast::gpu
