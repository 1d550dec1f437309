// CUDA's words for code that g++ compiles: what kernel headers name, served by the executor.
// Only what kernels here use; a word that is missing is a compile error, which is right.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "atomics.h"
#include "executor.h"
#include "fast_math.h"
#include "warp.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

#define threadIdx (::simt::thread_index())
#define blockIdx (::simt::block_index())
#define blockDim (::simt::block_size())
#define gridDim (::simt::grid_size())

// One array a declaration and block. The lambda's own static is the declaration's key.
#define FCT_SHARED(type, name, count)         \
  static const char name##_key = 0;           \
  type* const name = reinterpret_cast<type*>( \
      ::simt::static_shared(&name##_key, #name, sizeof(type) * static_cast<size_t>(count)))
#define FCT_DYNAMIC_SHARED(name) unsigned char* const name = ::simt::dynamic_shared()

using cudaStream_t = void*;
enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidValue = 1 };

// Each remembers where it was called: lanes and threads must meet at the same place.
#define FCT_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(FCT_SITE) { simt::sync_threads({file, line}); }
inline void __syncwarp(uint32_t mask = 0xFFFFFFFFu, FCT_SITE) {
  simt::sync_warp(mask, {file, line});
}

template <typename T>
T __shfl_sync(uint32_t mask, T value, int lane, int width = 32, FCT_SITE) {
  return simt::shuffle("__shfl_sync", mask, value, simt::shuffle_from(lane, width), {file, line});
}
template <typename T>
T __shfl_up_sync(uint32_t mask, T value, unsigned delta, int width = 32, FCT_SITE) {
  return simt::shuffle("__shfl_up_sync", mask, value, simt::shuffle_up_from(delta, width),
                       {file, line});
}
template <typename T>
T __shfl_down_sync(uint32_t mask, T value, unsigned delta, int width = 32, FCT_SITE) {
  return simt::shuffle("__shfl_down_sync", mask, value, simt::shuffle_down_from(delta, width),
                       {file, line});
}
template <typename T>
T __shfl_xor_sync(uint32_t mask, T value, int lane_mask, int width = 32, FCT_SITE) {
  return simt::shuffle("__shfl_xor_sync", mask, value, simt::shuffle_xor_from(lane_mask, width),
                       {file, line});
}

inline uint32_t __ballot_sync(uint32_t mask, bool vote, FCT_SITE) {
  return simt::ballot("__ballot_sync", mask, vote, {file, line});
}
inline bool __any_sync(uint32_t mask, bool vote, FCT_SITE) {
  return simt::ballot("__any_sync", mask, vote, {file, line}) != 0;
}
inline bool __all_sync(uint32_t mask, bool vote, FCT_SITE) {
  return simt::ballot("__all_sync", mask, vote, {file, line}) == mask;
}
