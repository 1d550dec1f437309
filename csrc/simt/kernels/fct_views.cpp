#include "../../kernels/gpu/fct_views.h"

#include "kernels.h"

void simt::fct_views(const fctfast::FctViewsArgs& args) {
  if (fctfast::gpu::launch_fct_views(args, nullptr) != cudaSuccess)
    throw Error("fct_views: the launch was refused");
}
