#include "../../kernels/gpu/feature_distance.h"

#include "kernels.h"

int64_t simt::feature_distance_scratch(const fctfast::FeatureDistanceArgs& args) {
  return fctfast::gpu::feature_distance_scratch(args);
}

void simt::feature_distance(const fctfast::FeatureDistanceArgs& args, void* partial,
                            bool backward) {
  if (fctfast::gpu::launch_feature_distance(args, partial, backward, nullptr) != cudaSuccess)
    throw Error("feature_distance: the launch was refused");
}
