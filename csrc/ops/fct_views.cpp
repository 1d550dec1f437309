#include "fct_views.h"

#include "cpu_kernels.h"

namespace fctfast {

namespace {

Tensor fct_views(const Tensor& images, const Tensor& coefficients, const std::vector<double>& mean,
                 const std::vector<double>& std, bool nhwc, ScalarType dtype, bool channels_last,
                 bool originals) {
  const ViewsShape s = check_fct_views(images, coefficients, mean, std, nhwc, dtype);
  Tensor out = empty_views(s, images, dtype, channels_last, originals);
  if (out.numel() == 0) return out;
  const std::vector<float> shift(mean.begin(), mean.end()), scale(std.begin(), std.end());
  const Coefficients k = coefficients_of(coefficients, s.batch, "fct_views");
  FctViewsArgs args;
  args.images = static_cast<const uint8_t*>(images.const_data_ptr());
  args.batch = s.batch;
  args.channels = s.channels;
  args.height = s.height;
  args.width = s.width;
  args.stride_n = s.stride_n;
  args.stride_c = s.stride_c;
  args.stride_y = s.stride_y;
  args.stride_x = s.stride_x;
  args.draws = s.draws;
  args.nearest = k.nearest;
  args.bilinear = k.bilinear;
  args.mean = shift.data();
  args.std = scale.data();
  args.out = out.mutable_data_ptr();
  args.kind = kind_of(dtype, "fct_views");
  prefer_huge_pages(out);
  args.channels_last = channels_last;
  args.originals = originals;
  const int64_t per_sample = (1 + s.draws) * s.channels * s.height * s.width;
  torch::stable::parallel_for(0, s.batch, grain(per_sample), [&](int64_t begin, int64_t end) {
    cpu_kernels().fct_views(args, begin, end);
  });
  return out;
}

STABLE_TORCH_LIBRARY_FRAGMENT(fctfast, m) {
  m.def(
      "fct_views(Tensor images, Tensor coefficients, float[] mean, float[] std, bool nhwc, "
      "ScalarType dtype, bool channels_last, bool originals) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(fctfast, CPU, m) { m.impl("fct_views", TORCH_BOX(&fct_views)); }

}  // namespace
}  // namespace fctfast
