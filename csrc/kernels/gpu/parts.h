// Sums whose terms several blocks share out: a block leaves its part, and a second kernel adds the
// parts up in an order that depends on their number alone.
#pragma once

#include "reduce.h"

namespace fctfast::gpu {

template <typename Acc>
struct Parts {
  Acc* partial;   // [items][count]; unused where count is 1
  Acc* total;     // [items]
  int64_t count;  // of an item's parts
  Acc scale;      // of the total

  __device__ __forceinline__ void put(int64_t item, int64_t part, Acc value) const {
    if (count == 1) {
      total[item] = value * scale;
    } else {
      partial[item * count + part] = value;
    }
  }

  // A warp an item: its lanes read neighbouring parts, 32 at a time.
  __device__ __forceinline__ void add_up(int64_t items) const {
    constexpr int kWarps = kThreads / kWarp;
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    for (int64_t item = int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp; item < items;
         item += int64_t{gridDim.x} * kWarps) {
      Acc sum = 0;
      for (int64_t part = lane; part < count; part += kWarp) sum += partial[item * count + part];
      sum = lane_sum(sum);
      if (lane == 0) total[item] = sum * scale;
    }
  }
};

// Blocks of kThreads threads that add up the parts of `items`.
inline unsigned add_up_grid(int64_t items) { return grid_for(ceil_div(items, kThreads / kWarp)); }

}  // namespace fctfast::gpu
