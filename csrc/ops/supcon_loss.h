// The checks of supcon_loss that memory safety needs, and its arguments on a GPU.
#pragma once

#include "common.h"

namespace fctfast {

// -1: all from the first on.
inline int64_t own_rows(const Tensor& z, int64_t first, int64_t rows) {
  return rows == -1 && z.dim() == 2 ? z.size(0) - first : rows;
}

inline void check_supcon(const Tensor& z, const Tensor& group, int64_t first, int64_t rows) {
  STD_TORCH_CHECK(z.dim() == 2 && group.dim() == 1 && group.size(0) == z.size(0),
                  "supcon_loss: expected z [N, D] and group [N]");
  STD_TORCH_CHECK(group.scalar_type() == ScalarType::Long && z.scalar_type() != ScalarType::Double,
                  "supcon_loss: expected int64 groups and z of at most 32 bits");
  STD_TORCH_CHECK(first >= 0 && rows >= 0 && first <= z.size(0) && rows <= z.size(0) - first,
                  "supcon_loss: expected own rows among the ", z.size(0), ", got ", rows, " from ",
                  first);
}

inline void check_supcon_grad(const Tensor& grad, const Tensor& statistics, const Tensor& z) {
  STD_TORCH_CHECK(grad.numel() == 1 && grad.scalar_type() == ScalarType::Float &&
                      statistics.scalar_type() == ScalarType::Double && statistics.dim() == 2 &&
                      statistics.size(0) == z.size(0) && statistics.size(1) == 2,
                  "supcon_loss_backward: expected grad float32 [] and statistics float64 [N, 2]");
}

inline SupConGpuArgs supcon_args(const Tensor& z, const Tensor& group, int64_t first, int64_t rows,
                                 double temperature, double base_temperature, bool tf32) {
  check_supcon(z, group, first, rows);
  SupConGpuArgs args{};
  args.z = z.const_data_ptr();
  args.kind = kind_of(z.scalar_type(), "supcon_loss");
  args.columns = z.size(0);
  args.width = z.size(1);
  args.first = first;
  args.rows = rows;
  args.group = static_cast<const int64_t*>(group.const_data_ptr());
  args.temperature = temperature;
  args.base_temperature = base_temperature;
  args.tf32 = tf32;
  return args;
}

}  // namespace fctfast
