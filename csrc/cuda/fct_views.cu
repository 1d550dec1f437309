#include "../kernels/gpu/fct_views.h"

#include "../ops/fct_views.h"
#include "common.h"

namespace fctfast {
namespace {

Tensor fct_views(const Tensor& images, const Tensor& coefficients, const std::vector<double>& mean,
                 const std::vector<double>& std, bool nhwc, ScalarType dtype, bool channels_last,
                 bool originals) {
  const DeviceGuard guard(images.get_device_index());
  require_same_device(images, coefficients, "fct_views", "coefficients");
  const auto views =
      prepare_fct_views(images, coefficients, mean, std, nhwc, dtype, channels_last, originals);
  const FctViewsArgs args = views.with_numbers();
  STD_TORCH_CHECK(args.channels <= gpu::kMaxChannels, "fct_views: expected at most ",
                  gpu::kMaxChannels, " channels on CUDA, got ", args.channels);
  check_launch(gpu::launch_fct_views(args, current_stream(images)), "fct_views");
  return views.out;
}

STABLE_TORCH_LIBRARY_IMPL(fctfast, CUDA, m) { m.impl("fct_views", TORCH_BOX(&fct_views)); }

}  // namespace
}  // namespace fctfast
