#include "../../kernels/gpu/supcon_loss.h"

#include "kernels.h"

fctfast::SupConScratchBytes simt::supcon_scratch_bytes(const fctfast::SupConGpuArgs& args,
                                                       bool backward) {
  return fctfast::gpu::supcon_scratch_bytes(args, backward);
}

void simt::supcon_loss(const fctfast::SupConGpuArgs& args, const fctfast::SupConScratch& scratch,
                       bool backward) {
  if (fctfast::gpu::launch_supcon_loss(args, scratch, backward, nullptr) != cudaSuccess)
    throw Error("supcon_loss: the launch was refused");
}
