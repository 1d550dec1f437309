// What the supervised contrastive loss does row by row: rows as the products take them and weights
// before the walk over the columns, statistics and the loss, or the gradient of the normalisation,
// after it.
#pragma once

#include "reduce.h"
#include "supcon_walk.h"

namespace fctfast::gpu {

// Of one row over one share of the columns.
struct alignas(16) Partial {
  float sum;        // of exp2(scale (s - largest)) over the others
  float positives;  // of s over the positives
  float largest;    // s of the row with another; 0 where it is not needed
  int32_t count;    // of positives
};

// Of some rows: the sum of the losses of those with a positive, and how many these are.
struct alignas(16) Losses {
  double total, anchors;
};

struct SupConRows {
  const void* z;  // [columns][width]
  int64_t columns, width, padded_width, first, rows, splits;
  double temperature, base_temperature;
  void* out;             // [columns][padded_width], as the products take them
  double* inverse_norm;  // [columns], of z; 0 for a row of zeros
  float* length;         // [columns], 1 / the length of a row of `out`, where it is not 1
  const Partial* partials;
  double* statistics;  // [rows][2]: log of the denominator, number of positives
  Losses* losses;      // of each block of rows
  float* loss;
  // Backward. `given`: the statistics of all columns.
  const float* grad;
  const double* given;
  float* weight;
  double* factor;     // [1], of the finished gradient
  const float* sums;  // [splits][rows][padded_width]
  float h_scale;      // that H was multiplied by
  void* grad_z;       // [rows][width]
  float* shift;       // [columns], where exponents are relative
};

constexpr double kLog2E = 1.4426950408889634;

// A sum of powers of two relative to another largest exponent. Nothing has been added to a sum of
// 0: its exponent is none.
__device__ __forceinline__ float rescaled(float sum, float exponent) {
  return sum > 0 ? sum * exp2_approx(exponent) : sum;
}

// A column's share of H: H_ij = e_ij (weight_i + weight_j), or, if exponents are taken relative to
// each row's own denominator ("wide"), weight_i exp((s_ij - shift_i) / t) + weight_j exp((s_ij -
// shift_j) / t), where the weights are near 1: what rounding took from the shifts. A row without a
// positive pulls nobody.
__device__ __forceinline__ void supcon_weight(const SupConRows& p, int64_t row, bool wide) {
  const double log_denominator = p.given[2 * row], positives = p.given[2 * row + 1];
  double relative_to = 0;
  if (wide) {
    p.shift[row] = static_cast<float>(log_denominator * p.temperature);
    relative_to = static_cast<double>(p.shift[row]) / p.temperature;
  }
  p.weight[row] =
      positives > 0 ? p.h_scale * static_cast<float>(exp(relative_to - log_denominator)) : 0.0f;
}

// A warp a row. In a backward pass also its weight, and the last block counts the anchors.
template <typename T, typename Products>
__global__ void __launch_bounds__(kThreads, kBlocksOnUnit)
    supcon_rows_kernel(SupConRows p, int64_t row_blocks, bool wide) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const T* z = static_cast<const T*>(p.z);
  auto* out = static_cast<typename Products::Element*>(p.out);
  for (int64_t block = blockIdx.x; block < row_blocks; block += gridDim.x) {
    const int64_t row = block * (kThreads / kWarp) + warp;
    if (row >= p.columns) continue;
    // float64: the squares of 1e30 and of 1e-30 are numbers.
    double squares = 0;
    float largest = 0;
    for (int64_t d = lane; d < p.width; d += kWarp) {
      const float x = widen(load(z + row * p.width + d));
      squares += static_cast<double>(x) * static_cast<double>(x);
      largest = fmaxf(largest, fabsf(x));
    }
    squares = lane_sum(squares);
    const double inverse = squares == 0 ? 0.0 : 1 / sqrt(squares);
    double factor = inverse;
    if constexpr (!Products::kUnitRows) {
      for (int offset = kWarp / 2; offset > 0; offset /= 2)
        largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, offset));
      // Between 1 and 2 the largest number is safe in float16, and numbers of bfloat16 keep all
      // their bits down to 2^-15 of it.
      factor = largest > 0 ? scalbn(1.0, -ilogb(largest)) : 1.0;
    }
    double of_out = 0;
    for (int64_t d = lane; d < p.padded_width; d += kWarp) {
      const double x =
          d < p.width ? static_cast<double>(widen(load(z + row * p.width + d))) * factor : 0.0;
      const auto kept = Products::rounded(static_cast<float>(x));
      out[row * p.padded_width + d] = kept;
      of_out += static_cast<double>(widen(kept)) * static_cast<double>(widen(kept));
    }
    if constexpr (!Products::kUnitRows) of_out = lane_sum(of_out);
    if (lane != 0) continue;
    p.inverse_norm[row] = inverse;
    if constexpr (!Products::kUnitRows)
      p.length[row] = of_out == 0 ? 0.0f : static_cast<float>(1 / sqrt(of_out));
    if (p.given != nullptr) supcon_weight(p, row, wide);
  }
  if (p.given == nullptr || blockIdx.x != gridDim.x - 1) return;  // the same for the whole block
  double anchors[1] = {0};
  for (int64_t row = threadIdx.x; row < p.columns; row += kThreads)
    anchors[0] += p.given[2 * row + 1] > 0 ? 1.0 : 0.0;
  team_sums(anchors, kThreads / kWarp);
  if (threadIdx.x == 0)
    *p.factor =
        static_cast<double>(*p.grad) /
        (p.base_temperature * (anchors[0] > 0 ? anchors[0] : 1.0) * static_cast<double>(p.h_scale));
}

// The statistics of every `step`-th own row from `row` on. `Loads` partials are read at once.
template <int Loads>
__device__ __forceinline__ Losses finish_rows(const SupConRows& p, int64_t row, int64_t end,
                                              int64_t step) {
  const double to_log = 1 / p.temperature;
  Losses made{0, 0};
  for (; row < end; row += step) {
    Partial all = load(p.partials + row);
#pragma unroll Loads
    for (int64_t split = 1; split < p.splits; ++split) {
      const Partial more = load(p.partials + split * p.rows + row);
      if (more.largest == all.largest) {
        all.sum += more.sum;
      } else {
        const float largest = all.largest > more.largest ? all.largest : more.largest;
        const float to_log2 = static_cast<float>(kLog2E * to_log);
        all.sum = rescaled(all.sum, to_log2 * (all.largest - largest)) +
                  rescaled(more.sum, to_log2 * (more.largest - largest));
        all.largest = largest;
      }
      all.positives += more.positives;
      all.count += more.count;
    }
    // float32: in float64 this line alone would be most of the kernel on most GPUs.
    const double log_sum = static_cast<double>(logf(all.sum));
    const double log_denominator = log_sum + static_cast<double>(all.largest) * to_log;
    const double count = static_cast<double>(all.count);
    p.statistics[2 * row] = log_denominator;
    p.statistics[2 * row + 1] = count;
    if (all.count > 0) {
      made.total += log_denominator - static_cast<double>(all.positives) * to_log / count;
      made.anchors += 1;
    }
  }
  return made;
}

// The mean over the anchors of all threads of the only block.
__device__ __forceinline__ void store_loss(const SupConRows& p, const double (&sums)[2]) {
  if (threadIdx.x != 0) return;
  *p.loss = static_cast<float>(p.temperature / p.base_temperature * sums[0] /
                               (sums[1] > 0 ? sums[1] : 1.0));
}

// One block: the statistics of the own rows, and the mean loss of those with a positive.
constexpr int kLossThreads = 1024;
__global__ void __launch_bounds__(kLossThreads, 1) supcon_finish_kernel(SupConRows p) {
  const Losses mine = finish_rows<4>(p, threadIdx.x, p.rows, kLossThreads);
  double sums[2] = {mine.total, mine.anchors};
  team_sums<kLossThreads>(sums, kLossThreads / kWarp);
  store_loss(p, sums);
}

// The same by many blocks, of kThreads rows each, where a row has many partials: one block reads
// them at the rate of one unit. Their losses are added up by a launch of its own.
__global__ void __launch_bounds__(kThreads, kBlocksOnUnit)
    supcon_statistics_kernel(SupConRows p, int64_t row_blocks) {
  for (int64_t block = blockIdx.x; block < row_blocks; block += gridDim.x) {
    const Losses mine = finish_rows<8>(p, block * kThreads + threadIdx.x, p.rows, p.rows);
    double sums[2] = {mine.total, mine.anchors};
    team_sums(sums, kThreads / kWarp);
    if (threadIdx.x == 0) p.losses[block] = {sums[0], sums[1]};
  }
}

__global__ void __launch_bounds__(kThreads, 1)
    supcon_mean_kernel(SupConRows p, int64_t row_blocks) {
  double sums[2] = {0, 0};
  for (int64_t block = threadIdx.x; block < row_blocks; block += kThreads) {
    sums[0] += p.losses[block].total;
    sums[1] += p.losses[block].anchors;
  }
  team_sums(sums, kThreads / kWarp);
  store_loss(p, sums);
}

// A warp an own row: adds up the shares of the columns, takes out what lies along the row itself
// and divides by its length.
template <typename T>
__global__ void __launch_bounds__(kThreads, kBlocksOnUnit) supcon_grad_kernel(SupConRows p) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const T* z = static_cast<const T*>(p.z);
  T* out = static_cast<T*>(p.grad_z);
  for (int64_t block = blockIdx.x; block < ceil_div(p.rows, kThreads / kWarp); block += gridDim.x) {
    const int64_t own = block * (kThreads / kWarp) + warp, row = p.first + own;
    if (own >= p.rows) continue;
    const double inverse = p.inverse_norm[row];
    const auto unit_at = [&](int64_t d) {
      return static_cast<float>(static_cast<double>(widen(load(z + row * p.width + d))) * inverse);
    };
    const auto sum_at = [&](int64_t d) {
      float sum = load(p.sums + own * p.padded_width + d);
      for (int64_t split = 1; split < p.splits; ++split)
        sum += load(p.sums + (split * p.rows + own) * p.padded_width + d);
      return sum;
    };
    float along = 0;
    for (int64_t d = lane; d < p.width; d += kWarp) along = __fmaf_rn(unit_at(d), sum_at(d), along);
    along = lane_sum(along);
    for (int64_t d = lane; d < p.width; d += kWarp) {
      const float across = __fmaf_rn(-along, unit_at(d), sum_at(d));
      out[own * p.width + d] =
          narrow<T>(static_cast<float>(*p.factor * inverse * static_cast<double>(across)));
    }
  }
}

}  // namespace fctfast::gpu
