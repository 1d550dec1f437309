"""Changes to feature_distance, to its backward, and to the sums over lanes and warps."""

from __future__ import annotations

from mutations.mutation import Mutation

_FEATURE = "gpu/feature_distance.h"
_PARAMS = "gpu/feature_params.h"
_REDUCE = "gpu/reduce.h"

FORWARD = [
    Mutation(
        "sums-barrier-1", "feature_distance", "barrier", _REDUCE,
        "partial[warp * N + i] = value[i];\n  __syncthreads();\n",
        "partial[warp * N + i] = value[i];\n",
        "no barrier between writing the warps' sums and adding them",
    ),
    Mutation(
        "sums-barrier-1-tsan", "feature_distance", "barrier", _REDUCE,
        "partial[warp * N + i] = value[i];\n  __syncthreads();\n",
        "partial[warp * N + i] = value[i];\n",
        "the same, seen as a race",
        mode="thread",
    ),
    Mutation(
        "sums-barrier-2", "feature_distance", "barrier", _REDUCE,
        "partial[(warp + w) * N + i];\n  __syncthreads();\n",
        "partial[(warp + w) * N + i];\n",
        # The executor gives every thread a turn before any comes as far as the next unit's sums, so
        # that the numbers stay right: the race alone tells.
        "no barrier before the next unit's sums overwrite these",
        mode="thread",
    ),
    Mutation(
        "sums-half-mask", "feature_distance", "mask", _REDUCE,
        "__shfl_xor_sync(kAllLanes, value", "__shfl_xor_sync(0x0000FFFFu, value",
        "the shuffle's mask names half of the warp",
    ),
    Mutation(
        "sums-lane-width", "feature_distance", "mask", _REDUCE,
        "int offset = width / 2;", "int offset = width / 4;",
        "the sum covers half of its lanes",
    ),
    Mutation(
        "sums-last-step", "feature_distance", "mask", _REDUCE,
        "offset > 0; offset /= 2", "offset > 1; offset /= 2",
        "neighbouring lanes are not added",
    ),
    Mutation(
        "feature-every-lane-counts", "feature_distance", "mask", _FEATURE,
        "if (seat.lane != 0) total[k] = 0;", "if (seat.lane != 0) total[k] += 0;",
        "each of a channel's lanes adds its square",
    ),
    Mutation(
        "feature-pool-whole-warp", "feature_distance", "mask", _FEATURE,
        "lane_sum(sum[v], p.lanes, seat.stride)", "lane_sum(sum[v])",
        "a channel's pixels are summed over the whole warp",
    ),
    Mutation(
        "sums-slot", "feature_distance", "index", _REDUCE,
        "partial[warp * N + i] = value[i];", "partial[warp + i] = value[i];",
        "the warps' sums overlap in shared memory",
    ),
    Mutation(
        "feature-view-row", "feature_distance", "index", _FEATURE,
        "(unit.draw + k + 1) * p.batch", "(k + 1) * p.batch",
        "a later tile of draws reads the first tile's views",
    ),
    Mutation(
        "feature-draw-of-tile", "feature_distance", "index", _PARAMS,
        "draw = tile.rest * kDrawTile", "draw = tile.rest",
        "tiles of draws overlap",
    ),
    Mutation(
        "feature-pixel-stride", "feature_distance", "index", _FEATURE,
        "i < p.pixels; i += p.lanes) {", "i < p.pixels; i += p.lanes + 1) {",
        "a channel's lanes step over pixels",
    ),
    Mutation(
        "feature-difference-16-bit", "feature_distance", "rounding", _FEATURE,
        "const Acc d = own.sum[v] - view.sum[v];",
        "const Acc d = widen(narrow<T>(own.sum[v] - view.sum[v]));",
        "the difference rounded to the features' type before it is squared",
    ),
    Mutation(
        "feature-pooled-16-bit", "feature_distance", "rounding", _FEATURE,
        "lane_sum(sum[v], p.lanes, seat.stride) / static_cast<Acc>(p.pixels);",
        "widen(narrow<T>(lane_sum(sum[v], p.lanes, seat.stride) / static_cast<Acc>(p.pixels)));",
        "the pooled value rounded to the features' type",
    ),
    Mutation(
        "feature-total-float", "feature_distance", "rounding", _FEATURE,
        "total[k] += d * d;", "total[k] = static_cast<float>(total[k] + d * d);",
        "float64 features summed in float32",
    ),
    Mutation(
        "sums-past-last-warp", "feature_distance", "edge", _REDUCE,
        "w < team_warps; ++w", "w <= team_warps; ++w",
        "one warp too many is added",
    ),
    Mutation(
        "feature-channel-past-end", "feature_distance", "edge", _FEATURE,
        "present && channel < unit.end;", "present && channel <= unit.end;",
        "one channel too many is read",
    ),
    Mutation(
        "feature-item-past-end", "feature_distance", "edge", _FEATURE,
        "const bool present = number < units;", "const bool present = number <= units;",
        "one sample too many in the last partial block",
    ),
    Mutation(
        "feature-draw-past-end", "feature_distance", "edge", _PARAMS,
        "if (k < unit.views) p.parts", "if (k <= unit.views) p.parts",
        "one draw too many is written",
    ),
    Mutation(
        "feature-vector-test", "feature_distance", "edge", _FEATURE,
        ": a.width % kFullVec<T> == 0", ": a.width % 4 == 0",
        "16-bit rows of 4 elements more than whole vectors are read as vectors",
    ),
    Mutation(
        "feature-part-past-end", "feature_distance", "edge", _PARAMS,
        "end = p.width - channel < p.share ? p.width : channel + p.share;",
        "end = channel + p.share;",
        "the last part of the channels is taken for a whole one",
    ),
    Mutation(
        "feature-parts-overlap", "feature_distance", "index", _PARAMS,
        "channel = part * p.share;", "channel = part * (p.share - 1);",
        "parts of the channels overlap",
    ),
    Mutation(
        "feature-no-scale", "feature_distance", "constant", _FEATURE,
        "static_cast<Acc>(a.scale)};", "Acc{1}};",
        "the mean's factor is missing",
    ),
]  # fmt: skip

BACKWARD = [
    Mutation(
        "feature-grad-lanes-leave", "feature_distance_backward", "barrier", _FEATURE,
        "const bool active = unit < units;\n",
        "const bool active = unit < units;\n    if (!active) break;\n",
        "lanes without a channel leave before the warp's sum",
    ),
    Mutation(
        "sums-shuffle-down", "feature_distance_backward", "mask", _REDUCE,
        "__shfl_xor_sync", "__shfl_down_sync",
        "only the first of a channel's lanes gets its sum",
    ),
    Mutation(
        "feature-grad-transposed", "feature_distance_backward", "index", _FEATURE,
        "p.grad[draw * p.batch + sample]", "p.grad[sample * p.draws + draw]",
        "the upstream gradient is read transposed",
    ),
    Mutation(
        "feature-grad-channel", "feature_distance_backward", "index", _FEATURE,
        "channel = in_row.rest * Pooled::kChannels;", "channel = in_row.rest;",
        "vectors of channels overlap",
    ),
    Mutation(
        "feature-grad-row", "feature_distance_backward", "index", _FEATURE,
        "row = (draw + 1) * p.batch + sample;", "row = (draw + 1) + sample * p.batch;",
        "view rows counted sample by sample",
    ),
    Mutation(
        "feature-grad-pool-stride", "feature_distance_backward", "index", _FEATURE,
        "i < p.pixels; i += p.lanes * V) {", "i < p.pixels; i += p.lanes * V + V) {",
        "a channel's lanes step over pixels",
    ),
    Mutation(
        "feature-grad-pixel-stride", "feature_distance_backward", "index", _FEATURE,
        "i < p.pixels; i += p.lanes * V)\n      store",
        "i < p.pixels; i += p.lanes * V + V)\n      store",
        "a channel's lanes leave pixels unwritten",
    ),
    Mutation(
        "feature-grad-pull-16-bit", "feature_distance_backward", "rounding", _FEATURE,
        "total[v] += pull[v];", "total[v] += widen(narrow<T>(pull[v]));",
        "the sample's gradient is a sum of rounded ones",
    ),
    Mutation(
        "feature-grad-factor-16-bit", "feature_distance_backward", "rounding", _FEATURE,
        "pull[v] = g * (own.sum[v] - view.sum[v]);",
        "pull[v] = widen(narrow<T>(g)) * (own.sum[v] - view.sum[v]);",
        "the upstream gradient rounded to the features' type",
    ),
    Mutation(
        "feature-grad-unit-past-end", "feature_distance_backward", "edge", _FEATURE,
        "const bool active = unit < units;", "const bool active = unit <= units;",
        "one channel too many in the last partial block",
    ),
    Mutation(
        "feature-grad-inactive-reads", "feature_distance_backward", "edge", _FEATURE,
        "active ? p.grad[draw * p.batch + sample] * p.scale : Acc{0};",
        "p.grad[draw * p.batch + sample] * p.scale;",
        "threads without a channel read a gradient",
    ),
    Mutation(
        "feature-grad-no-two", "feature_distance_backward", "constant", _FEATURE,
        "2.0 * a.scale / static_cast<double>(a.pixels)",
        "a.scale / static_cast<double>(a.pixels)",
        "the square's factor 2 is missing",
    ),
    Mutation(
        "feature-grad-no-pixels", "feature_distance_backward", "constant", _FEATURE,
        "2.0 * a.scale / static_cast<double>(a.pixels)", "2.0 * a.scale",
        "the pooling's 1/pixels is missing",
    ),
    Mutation(
        "feature-grad-sign", "feature_distance_backward", "constant", _FEATURE,
        "seat, Acc{-1}, pull)", "seat, Acc{1}, pull)",
        "a view's gradient has the sample's sign",
    ),
]  # fmt: skip
