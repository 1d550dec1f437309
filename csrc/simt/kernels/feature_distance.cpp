#include "../../kernels/gpu/feature_distance.h"

#include "kernels.h"

void simt::feature_distance(const fctfast::FeatureDistanceArgs& args, bool backward) {
  if (fctfast::gpu::launch_feature_distance(args, backward, nullptr) != cudaSuccess)
    throw Error("feature_distance: the launch was refused");
}
