// Parameters of tau for each (seed, id, draw), and the integers that kernels take.
#include <cmath>

#include "../kernels/philox.h"
#include "common.h"

namespace fctfast {
namespace {

Tensor sample_rotate_affine(const Tensor& ids, int64_t seed, int64_t first_draw, int64_t draws,
                            double degrees, double translate_x, double translate_y, int64_t height,
                            int64_t width) {
  STD_TORCH_CHECK(ids.dim() == 1 && ids.scalar_type() == ScalarType::Long,
                  "sample_rotate_affine: expected ids int64 [B]");
  STD_TORCH_CHECK(draws >= 0, "sample_rotate_affine: expected draws >= 0, got ", draws);
  const Tensor list = torch::stable::contiguous(ids);
  const int64_t batch = list.numel();
  Tensor params = torch::stable::empty({draws, batch, 3}, ScalarType::Float);
  const int64_t* id = list.const_data_ptr<int64_t>();
  float* out = params.mutable_data_ptr<float>();
  const uint64_t key = static_cast<uint64_t>(seed);
  const double reach_x = translate_x * static_cast<double>(width);
  const double reach_y = translate_y * static_cast<double>(height);
  torch::stable::parallel_for(0, draws * batch, 4096, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const uint64_t sample = static_cast<uint64_t>(id[i % batch]);
      const uint32_t draw = static_cast<uint32_t>(first_draw + i / batch);
      const Philox4 words = philox4x32_10(
          {static_cast<uint32_t>(sample), static_cast<uint32_t>(sample >> 32), draw, 0},
          static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32));
      out[3 * i] = static_cast<float>(symmetric_uniform(words.x) * degrees);
      // + 0.0 turns a rounded -0.3 into 0, not -0.
      out[3 * i + 1] =
          static_cast<float>(std::nearbyint(symmetric_uniform(words.y) * reach_x) + 0.0);
      out[3 * i + 2] =
          static_cast<float>(std::nearbyint(symmetric_uniform(words.z) * reach_y) + 0.0);
    }
  });
  return params;
}

Tensor affine_coefficients(const Tensor& params, int64_t height, int64_t width, bool bilinear) {
  STD_TORCH_CHECK(
      params.dim() == 3 && params.size(2) == 3 && params.scalar_type() == ScalarType::Float,
      "affine_coefficients: expected params float32 [K, B, 3]");
  STD_TORCH_CHECK(height <= kMaxSide && width <= kMaxSide,
                  "affine_coefficients: expected sides of at most ", kMaxSide, ", got ", height,
                  " x ", width);
  STD_TORCH_CHECK(bilinear || fits_fixed_point(height, width),
                  "affine_coefficients: expected longest side + diagonal below 65536, got ", height,
                  " x ", width);
  const Tensor list = torch::stable::contiguous(params);
  const int64_t draws = list.size(0), batch = list.size(1);
  Tensor out = torch::stable::empty({draws, batch, bilinear ? kBilinearWords : kNearestWords},
                                    bilinear ? ScalarType::Long : ScalarType::Int);
  const float* in = list.const_data_ptr<float>();
  for (int64_t i = 0; i < draws * batch; ++i) {
    const float angle = in[3 * i], dx = in[3 * i + 1], dy = in[3 * i + 2];
    STD_TORCH_CHECK(std::isfinite(angle) && std::abs(dx) <= kMaxShift && std::abs(dy) <= kMaxShift,
                    "expected params of finite degrees and shifts of at most ", kMaxShift,
                    " pixels, got (", angle, ", ", dx, ", ", dy, ") in row ", i);
    STD_TORCH_CHECK(bilinear || (dx == std::trunc(dx) && dy == std::trunc(dy)),
                    "expected whole-pixel shifts with interpolation=\"nearest\", got (", dx, ", ",
                    dy, ") in row ", i, "; round them or use \"bilinear\"");
  }
  void* words = out.mutable_data_ptr();
  torch::stable::parallel_for(0, draws * batch, 1024, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if (bilinear) {
        static_cast<BilinearCoefficients*>(words)[i] =
            bilinear_coefficients(in + 3 * i, height, width);
      } else {
        static_cast<NearestCoefficients*>(words)[i] =
            nearest_coefficients(in + 3 * i, height, width);
      }
    }
  });
  return out;
}

STABLE_TORCH_LIBRARY_FRAGMENT(fctfast, m) {
  m.def(
      "sample_rotate_affine(Tensor ids, int seed, int first_draw, int draws, float degrees, "
      "float translate_x, float translate_y, int height, int width) -> Tensor");
  m.def("affine_coefficients(Tensor params, int height, int width, bool bilinear) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(fctfast, CPU, m) {
  m.impl("sample_rotate_affine", TORCH_BOX(&sample_rotate_affine));
  m.impl("affine_coefficients", TORCH_BOX(&affine_coefficients));
}

}  // namespace
}  // namespace fctfast
