#include "../kernels/gpu/contrastive_views.h"

#include "../ops/contrastive_views.h"
#include "common.h"

namespace fctfast {
namespace {

// Rows on the CPU are checked and copied; those on the device are taken as they are, so that no
// call waits for it, and a captured graph reads them anew.
Tensor device_params(const Tensor& params, const Tensor& images, const ContrastiveViewsArgs& args) {
  if (params.is_cuda()) {
    require_same_device(images, params, "contrastive_views", "params");
    return torch::stable::contiguous(params);
  }
  const Tensor rows = torch::stable::contiguous(params);
  check_contrastive_params(rows, args.height, args.width);
  Tensor made = torch::stable::new_empty(images, {rows.size(0), rows.size(1)}, ScalarType::Float);
  return torch::stable::copy_(made, rows, true);
}

Tensor contrastive_views(const Tensor& images, const Tensor& params,
                         const std::vector<double>& mean, const std::vector<double>& std,
                         int64_t height, int64_t width, bool nhwc, ScalarType dtype,
                         bool channels_last) {
  STD_TORCH_CHECK(images.is_cuda(), "contrastive_views: expected params on the input's device");
  const DeviceGuard guard(images.get_device_index());
  const auto views = prepare_contrastive_views(images, params, mean, std, height, width, nhwc,
                                               dtype, channels_last);
  ContrastiveViewsArgs args = views.with_numbers();
  const Tensor rows = device_params(params, images, args);
  Tensor greys =
      torch::stable::new_empty(images, {gpu::contrastive_views_scratch(args)}, ScalarType::Long);
  args.params = rows.const_data_ptr<float>();
  check_launch(gpu::launch_contrastive_views(args, greys.mutable_data_ptr<int64_t>(),
                                             current_stream(images)),
               "contrastive_views");
  return views.out;
}

STABLE_TORCH_LIBRARY_IMPL(fctfast, CUDA, m) {
  m.impl("contrastive_views", TORCH_BOX(&contrastive_views));
}

}  // namespace
}  // namespace fctfast
