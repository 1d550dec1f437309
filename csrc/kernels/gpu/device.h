// What a kernel needs of its machine: CUDA's own, or the executor that stands in for it
// (csrc/simt). Everything a kernel names beyond plain C++ comes from here or from ptx.h.
#pragma once

#if defined(__CUDACC__)
#include <cuda_runtime.h>
// Shared arrays are read as vectors, so each starts on 16 bytes.
#define FCT_SHARED(type, name, count) __shared__ __align__(16) type name[count]
#define FCT_DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#else
#include "../../simt/cuda.h"
#endif

#include <cstdint>

#include "../scalar_types.h"

namespace fctfast::gpu {

constexpr int kThreads = 256;
constexpr int kBlocksOnUnit = 2;  // at least; without a word on it ptxas spills to fit in more
constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xFFFFFFFFu;
constexpr int kMaxChannels = 16;  // per-channel numbers travel as kernel arguments

// N values that move as one: 16 bytes at most, in one instruction.
template <typename T, int N>
struct alignas(sizeof(T) * N) Vec {
  T at[N];
};

template <typename T>
constexpr int kFullVec = 16 / static_cast<int>(sizeof(T));

#if defined(__CUDACC__)
template <int Bytes>
struct WordOf;
template <>
struct WordOf<2> {
  using type = unsigned short;
};
template <>
struct WordOf<4> {
  using type = unsigned;
};
template <>
struct WordOf<8> {
  using type = uint2;
};
template <>
struct WordOf<16> {
  using type = uint4;
};

// Read-only for the whole kernel: may go through the non-coherent path.
template <typename T>
__device__ __forceinline__ T load(const T* p) {
  using Word = typename WordOf<sizeof(T)>::type;
  const Word word = __ldg(reinterpret_cast<const Word*>(p));
  return *reinterpret_cast<const T*>(&word);
}
__device__ __forceinline__ uint8_t load(const uint8_t* p) { return __ldg(p); }

// Written once and read by nobody here: leaves the caches to what is read again.
template <typename T>
__device__ __forceinline__ void store_streaming(T* p, const T& value) {
  using Word = typename WordOf<sizeof(T)>::type;
  __stcs(reinterpret_cast<Word*>(p), *reinterpret_cast<const Word*>(&value));
}
#else
template <typename T>
inline T load(const T* p) {
  simt::require_alignment(p, sizeof(T));
  return *p;
}
template <typename T>
inline void store_streaming(T* p, const T& value) {
  simt::require_alignment(p, sizeof(T));
  *p = value;
}
#endif

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Blocks for `wanted` units of work. Kernels walk in strides of the grid, so that any number of
// units is reached; past kMaxBlocks a block's own start would cost more than its next unit.
constexpr int64_t kMaxBlocks = int64_t{1} << 20;
inline unsigned grid_for(int64_t wanted) {
#if defined(__CUDACC__)
  const int64_t most = kMaxBlocks;
#else
  const int64_t most =
      simt::settings().max_blocks < kMaxBlocks ? simt::settings().max_blocks : kMaxBlocks;
#endif
  return static_cast<unsigned>(wanted < most ? wanted : most);
}

// Starts `kernel` on `stream` with `shared` bytes of dynamic shared memory; returns the launch's
// own error, which the caller reports.
#if defined(__CUDACC__)
template <typename... Parameters>
cudaError_t launch(void (*kernel)(Parameters...), unsigned grid, unsigned block, size_t shared,
                   cudaStream_t stream, Parameters... arguments) {
  if (grid == 0) return cudaSuccess;
  constexpr size_t kWithoutAsking = 48 << 10;
  if (shared > kWithoutAsking) {
    const cudaError_t error = cudaFuncSetAttribute(
        kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared));
    if (error != cudaSuccess) return error;
  }
  kernel<<<grid, block, shared, stream>>>(arguments...);
  return cudaGetLastError();
}
#else
template <typename... Parameters>
cudaError_t launch(void (*kernel)(Parameters...), unsigned grid, unsigned block, size_t shared,
                   cudaStream_t, Parameters... arguments) {
  if (grid == 0) return cudaSuccess;
  simt::launch(kernel, simt::Dim3{grid}, simt::Dim3{block}, shared, arguments...);
  return cudaSuccess;
}
#endif

}  // namespace fctfast::gpu
