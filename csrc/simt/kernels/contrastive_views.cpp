#include "../../kernels/gpu/contrastive_views.h"

#include "kernels.h"

int64_t simt::contrastive_views_scratch(const fctfast::ContrastiveViewsArgs& args) {
  return fctfast::gpu::contrastive_views_scratch(args);
}

void simt::contrastive_views(const fctfast::ContrastiveViewsArgs& args, int64_t* greys) {
  if (fctfast::gpu::launch_contrastive_views(args, greys, nullptr) != cudaSuccess)
    throw Error("contrastive_views: the launch was refused");
}
