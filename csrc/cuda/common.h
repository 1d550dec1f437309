// What every CUDA entry needs of torch: the current stream, aligned inputs, launch errors reported.
#pragma once

#include <cuda_runtime.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>

#include "../ops/common.h"

namespace fctfast {

using torch::stable::accelerator::DeviceGuard;

inline cudaStream_t current_stream(const Tensor& t) {
  void* stream = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(t.get_device_index(), &stream));
  return static_cast<cudaStream_t>(stream);
}

// Kernels read 16 bytes at a time. A slice may start between two such places; its copy does not,
// and gives the same bits as any other tensor of these values.
inline Tensor aligned(const Tensor& t) {
  return reinterpret_cast<uintptr_t>(t.const_data_ptr()) % 16 == 0 ? t : torch::stable::clone(t);
}

inline void require_same_device(const Tensor& a, const Tensor& b, const char* op,
                                const char* what) {
  STD_TORCH_CHECK(b.device() == a.device(), op, ": expected ", what, " on the input's device");
}

inline void check_launch(cudaError_t error, const char* op) {
  STD_TORCH_CHECK(error == cudaSuccess, op, ": ", cudaGetErrorString(error));
}

}  // namespace fctfast
