#include "fct_views.h"

#include "cpu_kernels.h"

namespace fctfast {
namespace {

Tensor fct_views(const Tensor& images, const Tensor& coefficients, const std::vector<double>& mean,
                 const std::vector<double>& std, bool nhwc, ScalarType dtype, bool channels_last,
                 bool originals) {
  const auto views =
      prepare_fct_views(images, coefficients, mean, std, nhwc, dtype, channels_last, originals);
  if (views.out.numel() == 0) return views.out;
  const FctViewsArgs args = views.with_numbers();
  prefer_huge_pages(views.out);
  const int64_t per_sample = (1 + args.draws) * args.channels * args.height * args.width;
  torch::stable::parallel_for(0, args.batch, grain(per_sample), [&](int64_t begin, int64_t end) {
    cpu_kernels().fct_views(args, begin, end);
  });
  return views.out;
}

STABLE_TORCH_LIBRARY_FRAGMENT(fctfast, m) {
  m.def(
      "fct_views(Tensor images, Tensor coefficients, float[] mean, float[] std, bool nhwc, "
      "ScalarType dtype, bool channels_last, bool originals) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(fctfast, CPU, m) { m.impl("fct_views", TORCH_BOX(&fct_views)); }

}  // namespace
}  // namespace fctfast
