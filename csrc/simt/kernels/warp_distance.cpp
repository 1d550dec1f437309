#include "../../kernels/gpu/warp_distance.h"

#include "kernels.h"

int64_t simt::warp_distance_scratch(const fctfast::WarpDistanceArgs& args) {
  return fctfast::gpu::warp_distance_scratch(args);
}

void simt::warp_distance(const fctfast::WarpDistanceArgs& args, void* partial, const void* fills,
                         bool backward) {
  if (fctfast::gpu::launch_warp_distance(args, {partial, fills}, backward, nullptr) != cudaSuccess)
    throw Error("warp_distance: the launch was refused");
}
