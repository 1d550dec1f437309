"""Changes to feature_distance's kernel for activation maps under several draws."""

from __future__ import annotations

from mutations.mutation import Mutation

_MAPS = "gpu/feature_maps.h"

MUTATIONS = [
    Mutation(
        "maps-barrier-1", "feature_distance_maps", "barrier", _MAPS,
        "wait_for_copies<0>();\n      __syncthreads();\n", "wait_for_copies<0>();\n",
        "no barrier between the copies of all threads and reading them",
    ),
    Mutation(
        "maps-barrier-2", "feature_distance_maps", "barrier", _MAPS,
        "__syncthreads();  // before", "// before",
        "no barrier before the next piece is copied over this one",
        mode="thread",
    ),
    Mutation(
        "maps-no-wait", "feature_distance_maps", "barrier", _MAPS,
        "wait_for_copies<0>();\n", "",
        "the copies are not waited for",
    ),
    Mutation(
        "maps-every-lane-counts", "feature_distance_maps", "mask", _MAPS,
        "if (lane == 0 && k < unit.views)", "if (k < unit.views)",
        "each of a channel's lanes adds its square",
    ),
    Mutation(
        "maps-pool-whole-warp", "feature_distance_maps", "mask", _MAPS,
        "lane_sum(sum[r], p.lanes)", "lane_sum(sum[r])",
        "a channel's pixels are summed over the whole warp",
    ),
    Mutation(
        "maps-view-row", "feature_distance_maps", "index", _MAPS,
        "(r == 0 ? 0 : unit.draw + r)", "(r == 0 ? 0 : r)",
        "a later tile of draws reads the first tile's views",
    ),
    Mutation(
        "maps-piece", "feature_distance_maps", "index", _MAPS,
        "* p.pixels + pixel;", "* p.pixels;",
        "every piece of a channel's pixels is the first",
    ),
    Mutation(
        "maps-start", "feature_distance_maps", "index", _MAPS,
        "(V == 1 ? first_of_row(p, unit, r, pixel) % kFullVec<T> : 0)", "0",
        "rows that start between 16 bytes are read from the 16 bytes' start",
    ),
    Mutation(
        "maps-lane", "feature_distance_maps", "index", _MAPS,
        "channel * pixels + lane * V", "channel * pixels + lane",
        "a channel's lanes read overlapping vectors",
    ),
    Mutation(
        "maps-row-slot", "feature_distance_maps", "index", _MAPS,
        "size, 16) * 16 + 16;", "size, 16) * 16;",
        "no room for what stands before a row's start in its 16 bytes",
    ),
    Mutation(
        "maps-difference-16-bit", "feature_distance_maps", "rounding", _MAPS,
        "const Acc d = sum[0] - sum[k + 1];",
        "const Acc d = widen(narrow<T>(sum[0] - sum[k + 1]));",
        "the difference rounded to the features' type before it is squared",
    ),
    Mutation(
        "maps-part-16-bit", "feature_distance_maps", "rounding", _MAPS,
        "sum[r] += part;", "sum[r] += widen(narrow<T>(part));",
        "a vector's sum rounded to the features' type",
    ),
    Mutation(
        "maps-total-float", "feature_distance_maps", "rounding", _MAPS,
        "total[k] += d * d;", "total[k] = static_cast<float>(total[k] + d * d);",
        "float64 features summed in float32",
    ),
    Mutation(
        "maps-behind-the-end", "feature_distance_maps", "edge", _MAPS,
        "rest - i < kFull ? static_cast<int>(rest - i) : kFull;", "kFull;",
        "16 bytes are copied where less are left",
    ),
    Mutation(
        "maps-last-copy", "feature_distance_maps", "edge", _MAPS,
        "i < before + count;", "i < count;",
        "the last 16 bytes of a row that starts between 16 bytes are not copied",
    ),
    Mutation(
        "maps-last-piece", "feature_distance_maps", "edge", _MAPS,
        "left < p.piece ? static_cast<int>(left) : p.piece;", "p.piece;",
        "the last piece is taken for a whole one",
    ),
    Mutation(
        "maps-channel-goes-on", "feature_distance_maps", "edge", _MAPS,
        "if (left > p.piece) continue;", "if (left >= p.piece) continue;",
        "a channel that ends with its piece is not counted",
    ),
    Mutation(
        "maps-channel-past-end", "feature_distance_maps", "edge", _MAPS,
        "if (channel < channels)", "if (channel <= channels)",
        "one channel too many is added",
    ),
    Mutation(
        "maps-views-past-end", "feature_distance_maps", "edge", _MAPS,
        "if (r > views) continue;", "if (r > views + 1) continue;",
        "a view too many is read",
    ),
    Mutation(
        "maps-vector-test", "feature_distance_maps", "edge", _MAPS,
        "return p.pixels % kFullVec<T> == 0", "return p.pixels % 2 == 0",
        "channels that start between 16 bytes are read as vectors",
    ),
    Mutation(
        "maps-sum-goes-on", "feature_distance_maps", "constant", _MAPS,
        "++r) sum[r] = 0;", "++r) sum[r] *= 1;",
        "a seat's next channel starts from the last one's sums",
    ),
    Mutation(
        "maps-no-pixels", "feature_distance_maps", "constant", _MAPS,
        "lane_sum(sum[r], p.lanes) / static_cast<Acc>(p.pixels);", "lane_sum(sum[r], p.lanes);",
        "the pooling's 1/pixels is missing",
    ),
]  # fmt: skip
