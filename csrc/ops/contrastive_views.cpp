// The augmentation of contrastive learning: its parameters and its views.
#include "contrastive_views.h"

#include <cmath>

#include "../kernels/philox.h"
#include "cpu_kernels.h"

namespace fctfast {
namespace {

// Blocks of four uniform numbers for one view of one sample.
struct Uniform4 {
  double u[4];
};

class ViewNumbers {
 public:
  ViewNumbers(int64_t id, int64_t seed, int64_t epoch, int64_t view)
      : id_(static_cast<uint64_t>(id)),
        key_(static_cast<uint64_t>(seed)),
        epoch_(static_cast<uint32_t>(epoch)),
        // Beyond the words of sample_rotate_affine, whose last one is 0.
        first_(0x40000000u + static_cast<uint32_t>(view) * 16u) {}

  Uniform4 block(uint32_t number) const {
    const Philox4 w = philox4x32_10(
        {static_cast<uint32_t>(id_), static_cast<uint32_t>(id_ >> 32), epoch_, first_ + number},
        static_cast<uint32_t>(key_), static_cast<uint32_t>(key_ >> 32));
    const auto uniform = [](uint32_t word) { return static_cast<double>(word >> 8) * 0x1p-24; };
    return {{uniform(w.x), uniform(w.y), uniform(w.z), uniform(w.w)}};
  }

 private:
  uint64_t id_, key_;
  uint32_t epoch_, first_;
};

struct Ranges {
  double height, width, low, high;  // source pixels, share of its area
  double brightness, contrast, saturation, hue, jitter, grey, flip;
};

// torchvision's RandomResizedCrop: ten tries at a share of the area and a ratio of the sides.
void draw_crop(const ViewNumbers& numbers, const Ranges& r, float* out) {
  const double log_ratio = std::log(4.0 / 3.0);
  for (uint32_t attempt = 0; attempt < 10; ++attempt) {
    const Uniform4 n = numbers.block(2 + attempt);
    const double area = r.height * r.width * (r.low + (r.high - r.low) * n.u[0]);
    const double ratio = std::exp(log_ratio * (2 * n.u[1] - 1));
    const double width = std::nearbyint(std::sqrt(area * ratio));
    const double height = std::nearbyint(std::sqrt(area / ratio));
    if (width < 1 || width > r.width || height < 1 || height > r.height) continue;
    out[kTop] = static_cast<float>(std::floor(n.u[2] * (r.height - height + 1)));
    out[kLeft] = static_cast<float>(std::floor(n.u[3] * (r.width - width + 1)));
    out[kCropHeight] = static_cast<float>(height);
    out[kCropWidth] = static_cast<float>(width);
    return;
  }
  const double ratio = r.width / r.height;
  const double height = ratio < 0.75 ? std::nearbyint(r.width / 0.75) : r.height;
  const double width = ratio > 4.0 / 3.0 ? std::nearbyint(r.height * (4.0 / 3.0)) : r.width;
  out[kTop] = static_cast<float>(std::floor((r.height - height) / 2));
  out[kLeft] = static_cast<float>(std::floor((r.width - width) / 2));
  out[kCropHeight] = static_cast<float>(height);
  out[kCropWidth] = static_cast<float>(width);
}

void draw_view(const ViewNumbers& numbers, const Ranges& r, float* out) {
  std::fill(out, out + kContrastiveWords, 0.0f);
  const Uniform4 chance = numbers.block(0), factor = numbers.block(1);
  const auto around = [](double centre, double reach, double u) {
    return static_cast<float>(centre + reach * (2 * u - 1));
  };
  out[kFlip] = chance.u[0] < r.flip;
  out[kJitter] = chance.u[1] < r.jitter;
  out[kGrey] = chance.u[2] < r.grey;
  out[kOrder] = static_cast<float>(std::floor(24 * chance.u[3]));
  out[kBrightness] = around(1, r.brightness, factor.u[0]);
  out[kContrast] = around(1, r.contrast, factor.u[1]);
  out[kSaturation] = around(1, r.saturation, factor.u[2]);
  out[kHue] = around(0, r.hue, factor.u[3]);
  draw_crop(numbers, r, out);
}

Tensor sample_contrastive(const Tensor& ids, int64_t seed, int64_t epoch, int64_t views,
                          int64_t height, int64_t width, const std::vector<double>& scale,
                          const std::vector<double>& jitter, double jitter_share, double grey_share,
                          double flip_share) {
  STD_TORCH_CHECK(ids.dim() == 1 && ids.scalar_type() == ScalarType::Long,
                  "sample_contrastive: expected ids int64 [B]");
  STD_TORCH_CHECK(
      scale.size() == 2 && jitter.size() == 4 && views >= 0 && height >= 1 && width >= 1,
      "sample_contrastive: expected two of scale, four of jitter, views, sides");
  const Ranges ranges{static_cast<double>(height),
                      static_cast<double>(width),
                      scale[0],
                      scale[1],
                      jitter[0],
                      jitter[1],
                      jitter[2],
                      jitter[3],
                      jitter_share,
                      grey_share,
                      flip_share};
  const Tensor list = torch::stable::contiguous(ids);
  const int64_t batch = list.numel();
  Tensor params = torch::stable::empty({views * batch, kContrastiveWords}, ScalarType::Float);
  const int64_t* id = list.const_data_ptr<int64_t>();
  float* out = params.mutable_data_ptr<float>();
  torch::stable::parallel_for(0, views * batch, 512, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      draw_view(ViewNumbers(id[i % batch], seed, epoch, i / batch), ranges,
                out + i * kContrastiveWords);
  });
  return params;
}

Tensor contrastive_views(const Tensor& images, const Tensor& params,
                         const std::vector<double>& mean, const std::vector<double>& std,
                         int64_t height, int64_t width, bool nhwc, ScalarType dtype,
                         bool channels_last) {
  const auto views = prepare_contrastive_views(images, params, mean, std, height, width, nhwc,
                                               dtype, channels_last);
  const Tensor rows = torch::stable::contiguous(params);
  ContrastiveViewsArgs a = views.with_numbers();
  check_contrastive_params(rows, a.height, a.width);
  a.params = rows.const_data_ptr<float>();
  if (views.out.numel() == 0) return views.out;
  prefer_huge_pages(views.out);
  torch::stable::parallel_for(
      0, a.rows, grain(8 * a.channels * height * width),
      [&](int64_t begin, int64_t end) { cpu_kernels().contrastive_views(a, begin, end); });
  return views.out;
}

STABLE_TORCH_LIBRARY_FRAGMENT(fctfast, m) {
  m.def(
      "sample_contrastive(Tensor ids, int seed, int epoch, int views, int height, int width, "
      "float[] scale, float[] jitter, float jitter_share, float grey_share, float flip_share) "
      "-> Tensor");
  m.def(
      "contrastive_views(Tensor images, Tensor params, float[] mean, float[] std, int height, "
      "int width, bool nhwc, ScalarType dtype, bool channels_last) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(fctfast, CPU, m) {
  m.impl("sample_contrastive", TORCH_BOX(&sample_contrastive));
  m.impl("contrastive_views", TORCH_BOX(&contrastive_views));
}

}  // namespace
}  // namespace fctfast
