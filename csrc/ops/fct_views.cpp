#include "fct_views.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "cpu_kernels.h"

namespace fctfast {

namespace {

// A large output is a fresh mapping, and its first touch costs more than the kernel: 4 KB at a
// time 39 ms for 77 MB on one thread, which is eight times what writing it takes.
void prefer_huge_pages(void* data, size_t bytes) {
#if defined(__linux__)
  constexpr uintptr_t kHugePage = uintptr_t{2} << 20;
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(data) + kHugePage - 1) & ~(kHugePage - 1);
  const uintptr_t end = (reinterpret_cast<uintptr_t>(data) + bytes) & ~(kHugePage - 1);
  if (end > begin) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#else
  (void)data, (void)bytes;
#endif
}

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
  prefer_huge_pages(args.out,
                    static_cast<size_t>(out.numel()) * (dtype == ScalarType::Float ? 4 : 2));
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
