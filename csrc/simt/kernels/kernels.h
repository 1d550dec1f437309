// The project's kernels as the executor runs them: the launchers of csrc/kernels/gpu, compiled with
// a checker's instrumentation. The arguments' pointers lie in simt::Memory.
#pragma once

#include "../../kernels/args.h"

namespace simt {

void fct_views(const fctfast::FctViewsArgs& args);
int64_t contrastive_views_scratch(const fctfast::ContrastiveViewsArgs& args);
void contrastive_views(const fctfast::ContrastiveViewsArgs& args, int64_t* greys);
int64_t feature_distance_scratch(const fctfast::FeatureDistanceArgs& args);
// partial: that many numbers of the accumulator's type; null for the backward.
void feature_distance(const fctfast::FeatureDistanceArgs& args, void* partial, bool backward);
int64_t warp_distance_scratch(const fctfast::WarpDistanceArgs& args);
// partial: that many numbers; fills: every channel's, both of the accumulator's type.
void warp_distance(const fctfast::WarpDistanceArgs& args, void* partial, const void* fills,
                   bool backward);
fctfast::SupConScratchBytes supcon_scratch_bytes(const fctfast::SupConGpuArgs& args, bool backward);
void supcon_loss(const fctfast::SupConGpuArgs& args, const fctfast::SupConScratch& scratch,
                 bool backward);

}  // namespace simt
