// All inline PTX, each instruction beside its twin on the CPU. cp.async and the mma shapes here
// need sm_80; below it the copies are plain ones and the products are not there.
#pragma once

#include "device.h"

#if !defined(__CUDACC__)
#include "../../simt/async_copy.h"
#include "../../simt/matrix.h"
#endif

namespace fctfast::gpu {

#if defined(__CUDA_ARCH__)
__device__ __forceinline__ uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}
#endif

// Starts a copy of 16 bytes to shared memory, of which the last 16 - `bytes` become zero. The
// target may be touched after its wait (and, by other threads, a barrier) and not before.
__device__ __forceinline__ void copy_async_16(void* shared, const void* global, int bytes = 16) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)),
               "l"(global), "r"(bytes)
               : "memory");
#elif defined(__CUDA_ARCH__)
  if (bytes == 16) {
    *static_cast<uint4*>(shared) = __ldg(static_cast<const uint4*>(global));
    return;
  }
  for (int i = 0; i < 16; ++i)
    static_cast<char*>(shared)[i] = i < bytes ? static_cast<const char*>(global)[i] : char{0};
#elif !defined(__CUDACC__)
  simt::copy_async(shared, global, 16, static_cast<size_t>(bytes));
#endif
}

__device__ __forceinline__ void commit_copies() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#elif !defined(__CUDACC__)
  simt::commit_copies();
#endif
}

// Waits until at most `Left` of this thread's committed groups are still on their way.
template <int Left>
__device__ __forceinline__ void wait_for_copies() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(Left) : "memory");
#elif !defined(__CUDACC__)
  simt::wait_for_copies(Left);
#endif
}

// Four 8 x 8 matrices of 16-bit elements: lane i gives the address of row i % 8 of matrix i / 8
// (16 bytes, aligned); register m of a lane gets its two elements of matrix m.
template <bool Transposed>
__device__ __forceinline__ void load_matrices(uint32_t (&out)[4], const void* row) {
#if defined(__CUDA_ARCH__)
  if constexpr (Transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(shared_address(row))
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(shared_address(row))
                 : "memory");
  }
#elif !defined(__CUDACC__)
  simt::require_shared("ldmatrix", row, 16);
  uint32_t mine[4];
  for (int i = 0; i < 4; ++i) mine[i] = static_cast<const uint32_t*>(row)[i];
  simt::load_matrices(out, mine, Transposed, {__FILE__, __LINE__});
#endif
}

// d += a b: 16 x 8 += 16 x 16 times 16 x 8.
__device__ __forceinline__ void mma_f16(float (&d)[4], const uint32_t (&a)[4],
                                        const uint32_t (&b)[2]) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#elif !defined(__CUDACC__)
  simt::mma(simt::MmaType::f16, d, a, b, {__FILE__, __LINE__});
#endif
}

__device__ __forceinline__ void mma_bf16(float (&d)[4], const uint32_t (&a)[4],
                                         const uint32_t (&b)[2]) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#elif !defined(__CUDACC__)
  simt::mma(simt::MmaType::bf16, d, a, b, {__FILE__, __LINE__});
#endif
}

// 16 x 8 += 16 x 8 times 8 x 8, of numbers that went through to_tf32().
__device__ __forceinline__ void mma_tf32(float (&d)[4], const uint32_t (&a)[4],
                                         const uint32_t (&b)[2]) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#elif !defined(__CUDACC__)
  simt::mma(simt::MmaType::tf32, d, a, b, {__FILE__, __LINE__});
#endif
}

// 2^x within 2 units in the last place; results below 2^-126 are 0.
__device__ __forceinline__ float exp2_approx(float x) {
#if defined(__CUDA_ARCH__)
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#elif !defined(__CUDACC__)
  const float y = simt::off_by_ulps(std::exp2(static_cast<double>(x)), 2);
  return y < 0x1p-126f ? 0.0f : y;
#else
  return x;
#endif
}

// To the nearest tf32 (10 bits of mantissa), ties away from zero.
__device__ __forceinline__ uint32_t to_tf32(float value) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
  return bits;
#else
  const uint32_t bits = float_to_bits(value);
  return (bits & 0x7F800000u) == 0x7F800000u ? bits : (bits + 0x1000u) & ~0x1FFFu;
#endif
}

}  // namespace fctfast::gpu
