#include "../kernels/gpu/fct_views.h"

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>

#include "../ops/fct_views.h"

namespace fctfast {
namespace {

cudaStream_t current_stream(const Tensor& t) {
  void* stream = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(t.get_device_index(), &stream));
  return static_cast<cudaStream_t>(stream);
}

Tensor fct_views(const Tensor& images, const Tensor& coefficients, const std::vector<double>& mean,
                 const std::vector<double>& std, bool nhwc, ScalarType dtype, bool channels_last,
                 bool originals) {
  const torch::stable::accelerator::DeviceGuard guard(images.get_device_index());
  const ViewsShape s = check_fct_views(images, coefficients, mean, std, nhwc, dtype);
  STD_TORCH_CHECK(s.channels <= gpu::kMaxChannels, "fct_views: expected at most ",
                  gpu::kMaxChannels, " channels on CUDA, got ", s.channels);
  STD_TORCH_CHECK(coefficients.get_device_index() == images.get_device_index(),
                  "fct_views: expected coefficients on the images' device");
  Tensor out = empty_views(s, images, dtype, channels_last, originals);
  if (out.numel() == 0) return out;
  const Coefficients k = coefficients_of(coefficients, s.batch, "fct_views");
  gpu::ViewsArgs a{};
  a.images = static_cast<const uint8_t*>(images.const_data_ptr());
  a.batch = s.batch;
  a.draws = s.draws;
  a.channels = static_cast<int32_t>(s.channels);
  a.height = static_cast<int32_t>(s.height);
  a.width = static_cast<int32_t>(s.width);
  a.stride_n = s.stride_n;
  a.stride_c = s.stride_c;
  a.stride_y = s.stride_y;
  a.stride_x = s.stride_x;
  a.nearest = k.nearest;
  a.bilinear = k.bilinear;
  a.channels_last = channels_last;
  a.originals = originals;
  for (int64_t c = 0; c < s.channels; ++c) {
    a.mean[c] = static_cast<float>(mean[static_cast<size_t>(c)]);
    a.std[c] = static_cast<float>(std[static_cast<size_t>(c)]);
  }
  void* data = out.mutable_data_ptr();
  const cudaStream_t stream = current_stream(images);
  cudaError_t error = cudaSuccess;
  if (dtype == ScalarType::Float) {
    error = gpu::launch_fct_views(a, static_cast<float*>(data), stream);
  } else if (dtype == ScalarType::Half) {
    error = gpu::launch_fct_views(a, static_cast<__half*>(data), stream);
  } else {
    error = gpu::launch_fct_views(a, static_cast<__nv_bfloat16*>(data), stream);
  }
  STD_TORCH_CHECK(error == cudaSuccess, "fct_views: ", cudaGetErrorString(error));
  return out;
}

STABLE_TORCH_LIBRARY_IMPL(fctfast, CUDA, m) { m.impl("fct_views", TORCH_BOX(&fct_views)); }

}  // namespace
}  // namespace fctfast
