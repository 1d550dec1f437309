#include "../kernels/gpu/supcon_loss.h"

#include "../ops/supcon_loss.h"
#include "common.h"

namespace fctfast {
namespace {

int attribute(cudaDeviceAttr what, const Tensor& t) {
  int value = 0;
  check_launch(cudaDeviceGetAttribute(&value, what, t.get_device_index()), "supcon_loss");
  return value;
}

// The arguments of both passes and the buffers between their kernels.
struct Pass {
  Tensor z, group;
  SupConGpuArgs args;
  std::vector<Tensor> buffers;

  Pass(const Tensor& given_z, const Tensor& given_group, int64_t first, int64_t rows, double t,
       double base_temperature, bool tf32)
      : z(torch::stable::contiguous(given_z)),
        group(aligned(torch::stable::contiguous(given_group))),
        args(supcon_args(z, group, first, rows, t, base_temperature, tf32)) {
    require_same_device(z, group, "supcon_loss", "group");
    args.tensor_cores = attribute(cudaDevAttrComputeCapabilityMajor, z) >= 8;
    args.shared_limit = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, z);
    args.shared_on_unit = attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor, z);
    args.triangle_from = kSupConTriangleFrom;
  }

  void launch(bool backward) {
    const SupConScratchBytes bytes = gpu::supcon_scratch_bytes(args, backward);
    const SupConScratch scratch{
        buffer(bytes.rows),     buffer(bytes.inverse_norm), buffer(bytes.length),
        buffer(bytes.partials), buffer(bytes.losses),       buffer(bytes.weight),
        buffer(bytes.shift),    buffer(bytes.factor),       buffer(bytes.pulls)};
    check_launch(gpu::launch_supcon_loss(args, scratch, backward, current_stream(z)),
                 "supcon_loss");
  }

 private:
  void* buffer(int64_t bytes) {
    buffers.push_back(torch::stable::new_empty(z, {bytes}, ScalarType::Byte));
    return buffers.back().mutable_data_ptr();
  }
};

std::tuple<Tensor, Tensor> supcon_loss(const Tensor& z, const Tensor& group, int64_t first,
                                       int64_t given_rows, double temperature,
                                       double base_temperature, bool tf32) {
  const DeviceGuard guard(z.get_device_index());
  const int64_t rows = own_rows(z, first, given_rows);
  Pass pass(z, group, first, rows, temperature, base_temperature, tf32);
  Tensor loss = torch::stable::new_empty(z, {}, ScalarType::Float);
  Tensor statistics = torch::stable::new_empty(z, {rows, 2}, ScalarType::Double);
  if (rows == 0) return {torch::stable::zero_(loss), statistics};
  pass.args.loss = static_cast<float*>(loss.mutable_data_ptr());
  pass.args.statistics = static_cast<double*>(statistics.mutable_data_ptr());
  pass.launch(false);
  return {loss, statistics};
}

Tensor supcon_loss_backward(const Tensor& grad, const Tensor& z, const Tensor& group,
                            const Tensor& statistics, int64_t first, int64_t given_rows,
                            double temperature, double base_temperature, bool tf32) {
  const DeviceGuard guard(z.get_device_index());
  check_supcon_grad(grad, statistics, z);
  require_same_device(z, grad, "supcon_loss_backward", "grad");
  require_same_device(z, statistics, "supcon_loss_backward", "statistics");
  const int64_t rows = own_rows(z, first, given_rows);
  Pass pass(z, group, first, rows, temperature, base_temperature, tf32);
  Tensor out = torch::stable::new_empty(z, {rows, z.size(1)});
  if (rows == 0) return out;
  const Tensor dense = torch::stable::contiguous(statistics);
  pass.args.grad = static_cast<const float*>(grad.const_data_ptr());
  pass.args.given = static_cast<const double*>(dense.const_data_ptr());
  pass.args.grad_z = out.mutable_data_ptr();
  pass.launch(true);
  return out;
}

STABLE_TORCH_LIBRARY_IMPL(fctfast, CUDA, m) {
  m.impl("supcon_loss", TORCH_BOX(&supcon_loss));
  m.impl("supcon_loss_backward", TORCH_BOX(&supcon_loss_backward));
}

}  // namespace
}  // namespace fctfast
