"""What `mutate.py` breaks: one small change to a GPU kernel's source each, which must be noticed.

To add one: a text that stands once in the file, what stands there instead, and what that breaks. A
change that no run could tell from the original is no mutation; those that look like one are listed
in `EQUIVALENT` with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass

KINDS = ("barrier", "mask", "index", "rounding", "edge", "constant")

# A kernel: its op, and those of the op's tests that run before the others ("": no need to).
KERNELS: dict[str, tuple[str, str]] = {
    "fct_views": ("fct_views", ""),
    "feature_distance": ("feature_distance", ""),
    "feature_distance_backward": ("feature_distance", "gradient or gradcheck"),
    "warp_distance": ("warp_distance", ""),
    "warp_distance_backward": ("warp_distance", "gradient or gradcheck"),
}


@dataclass(frozen=True)
class Mutation:
    """One change. `file` lies under csrc/kernels; `mode` names the build that must notice."""

    name: str
    kernel: str
    kind: str
    file: str
    old: str
    new: str
    breaks: str
    mode: str = "plain"


_VIEWS, _FEATURE, _WARP = "gpu/fct_views.h", "gpu/feature_distance.h", "gpu/warp_distance.h"
_REDUCE, _AFFINE, _BILINEAR = "gpu/reduce.h", "affine.h", "bilinear.h"
_DIVIDER = "divider.h"

_FCT_VIEWS = [
    Mutation(
        "views-barrier", "fct_views", "barrier", _VIEWS,
        "  __syncthreads();\n", "",
        "no barrier between making the table and reading it",
    ),
    Mutation(
        "views-barrier-tsan", "fct_views", "barrier", _VIEWS,
        "  __syncthreads();\n", "",
        "the same, seen as a race",
        mode="thread",
    ),
    Mutation(
        "views-barrier-partial", "fct_views", "barrier", _VIEWS,
        "  __syncthreads();\n", "  if (threadIdx.x < kWarp) __syncthreads();\n",
        "one warp alone comes to the barrier",
    ),
    Mutation(
        "views-table-stride", "fct_views", "index", _VIEWS,
        "i < p.channels * 256; i += kThreads)", "i < p.channels * 256; i += kThreads + 1)",
        "the table is filled with gaps",
    ),
    Mutation(
        "views-strides-swapped", "fct_views", "index", _VIEWS,
        "s.y * p.stride_y + s.x * p.stride_x", "s.y * p.stride_x + s.x * p.stride_y",
        "row and column strides swapped",
    ),
    Mutation(
        "views-tile-columns", "fct_views", "index", _VIEWS,
        "in_tile - (row << p.tile_shift)", "in_tile - row",
        "columns of a warp's tile run on over its rows",
    ),
    Mutation(
        "views-draw-of-originals", "fct_views", "index", _VIEWS,
        "in_sample.rest - (p.originals ? 1 : 0)", "in_sample.rest",
        "the originals in front shift the draws by one",
    ),
    Mutation(
        "views-order", "fct_views", "index", _VIEWS,
        "out + (in_sample.rest * p.batch + sample) * view_size",
        "out + in_view.quotient * view_size",
        "views are written sample by sample instead of draw by draw",
    ),
    Mutation(
        "divider-32-bit", "fct_views", "index", _DIVIDER,
        "Wide{static_cast<uint64_t>(n)} * magic", "Wide{static_cast<uint32_t>(n)} * magic",
        "the divider's product takes 32 bits of the number",
    ),
    Mutation(
        "divider-magic", "fct_views", "rounding", _DIVIDER,
        "static_cast<uint64_t>(divisor)) + 1;", "static_cast<uint64_t>(divisor));",
        "the divider's factor is rounded down instead of up",
    ),
    Mutation(
        "views-channel-wrap", "fct_views", "index", _VIEWS,
        "if (c == p.channels) {", "if (c > p.channels) {",
        "interleaved channels wrap one too late",
    ),
    Mutation(
        "views-taps-swapped", "fct_views", "index", _VIEWS,
        "tap(from.x + (t & 1), from.y + (t >> 1), c)",
        "tap(from.x + (t >> 1), from.y + (t & 1), c)",
        "right and lower bilinear tap swapped",
    ),
    Mutation(
        "views-table-16-bit", "fct_views", "rounding", _VIEWS,
        "table[i] = narrow<Entry>((scaled - p.mean[i / 256]) / p.std[i / 256]);",
        "table[i] = narrow<Entry>("
        "widen(narrow<T>((scaled - p.mean[i / 256]) / p.std[i / 256])));",
        "bilinear taps rounded to the output's type before the blend",
    ),
    Mutation(
        "views-blend-16-bit", "fct_views", "rounding", _VIEWS,
        "sum += bilinear_weight(from, t) * tap(",
        "sum = widen(narrow<T>(sum)) + bilinear_weight(from, t) * tap(",
        "the blend's running sum held in the output's type",
    ),
    Mutation(
        "views-reciprocal-255", "fct_views", "rounding", _VIEWS,
        "static_cast<float>(i % 256) / 255.0f", "static_cast<float>(i % 256) * (1.0f / 255.0f)",
        "multiplied by 1/255 instead of divided by 255",
    ),
    Mutation(
        "views-reciprocal-std", "fct_views", "rounding", _VIEWS,
        "(scaled - p.mean[i / 256]) / p.std[i / 256]",
        "(scaled - p.mean[i / 256]) * (1.0f / p.std[i / 256])",
        "multiplied by 1/std instead of divided by std",
    ),
    Mutation(
        "views-table-last-bytes", "fct_views", "edge", _VIEWS,
        "i < p.channels * 256;", "i < p.channels * 255;",
        "the table's last entries are missing",
    ),
    Mutation(
        "views-table-past-end", "fct_views", "edge", _VIEWS,
        "i < p.channels * 256;", "i <= p.channels * 256;",
        "the table is filled one entry too far",
    ),
    Mutation(
        "views-row-past-end", "fct_views", "edge", _VIEWS,
        "if (place.y >= p.height) continue;", "if (place.y > p.height) continue;",
        "a last partial piece writes one row too many",
    ),
    Mutation(
        "views-partial-band", "fct_views", "edge", _VIEWS,
        "ceil_div(p.height, p.tile_rows) * band", "p.height / p.tile_rows * band",
        "the last partial band of rows is dropped",
    ),
    Mutation(
        "views-tap-past-row", "fct_views", "edge", _VIEWS,
        "x >= 0 && x < p.width && y >= 0", "x >= 0 && x <= p.width && y >= 0",
        "a tap right of the row reads instead of being fill",
    ),
    Mutation(
        "views-first-pixel-fill", "fct_views", "edge", _VIEWS,
        "from >= 0 ? load(", "from > 0 ? load(",
        "the image's first pixel is taken for fill",
    ),
    Mutation(
        "views-vector-test", "fct_views", "edge", _VIEWS,
        "return row % kFull == 0\n", "return row % 4 == 0\n",
        "16-bit rows of 4 elements more than whole vectors are written as vectors",
    ),
    Mutation(
        "views-fill-byte", "fct_views", "constant", _VIEWS,
        "load(image + c * p.stride_c + from) : uint8_t{0};",
        "load(image + c * p.stride_c + from) : uint8_t{1};",
        "fill is byte 1",
    ),
    Mutation(
        "affine-no-canvas-mask", "fct_views", "mask", _AFFINE,
        "(u < w) & (v < h) & (static", "(static",
        "what the shift brings in from outside the rotated canvas is not fill",
    ),
    Mutation(
        "affine-mask-past-end", "fct_views", "mask", _AFFINE,
        "(v < h) & (static_cast<uint32_t>(sx) < w)", "(v < h) & (static_cast<uint32_t>(sx) <= w)",
        "the column right of the image counts as inside",
    ),
    Mutation(
        "affine-rounds", "fct_views", "rounding", _AFFINE,
        "static_cast<int32_t>(px) >> 16", "static_cast<int32_t>(px + 0x8000u) >> 16",
        "source columns rounded where Pillow truncates",
    ),
    Mutation(
        "bilinear-16-bit-fraction", "fct_views", "rounding", _BILINEAR,
        "static_cast<Acc>(static_cast<uint32_t>(px) >> kDropped)",
        "static_cast<Acc>((static_cast<uint32_t>(px) & 0xFFFF0000u) >> kDropped)",
        "16 bits of the horizontal fraction instead of 24",
    ),
]  # fmt: skip

_FEATURE_FORWARD = [
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
        "view.run(p, (draw + k + 1) * p.batch + sample", "view.run(p, (k + 1) * p.batch + sample",
        "a later tile of draws reads the first tile's views",
    ),
    Mutation(
        "feature-draw-of-tile", "feature_distance", "index", _FEATURE,
        "draw = tile.rest * kDrawTile", "draw = tile.rest",
        "tiles of draws overlap",
    ),
    Mutation(
        "feature-pixel-stride", "feature_distance", "index", _FEATURE,
        "i < p.pixels; i += p.lanes * V) {", "i < p.pixels; i += p.lanes * V + V) {",
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
        "present && channel < p.width;", "present && channel <= p.width;",
        "one channel too many is read",
    ),
    Mutation(
        "feature-item-past-end", "feature_distance", "edge", _FEATURE,
        "const bool present = item < items;", "const bool present = item <= items;",
        "one sample too many in the last partial block",
    ),
    Mutation(
        "feature-draw-past-end", "feature_distance", "edge", _FEATURE,
        "k < kDrawTile && draw + k < p.draws; ++k)", "k < kDrawTile && draw + k <= p.draws; ++k)",
        "one draw too many is written",
    ),
    Mutation(
        "feature-vector-test", "feature_distance", "edge", _FEATURE,
        "return a.width % kFull == 0 ?", "return a.width % 4 == 0 ?",
        "16-bit rows of 4 elements more than whole vectors are read as vectors",
    ),
    Mutation(
        "feature-no-scale", "feature_distance", "constant", _FEATURE,
        "= total[k] * p.scale;", "= total[k];",
        "the mean's factor is missing",
    ),
]  # fmt: skip

_FEATURE_BACKWARD = [
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

_WARP_FORWARD = [
    Mutation(
        "warp-one-warp-sums", "warp_distance", "barrier", _WARP,
        "team_sums(sum, kThreads / kWarp);",
        "if (threadIdx.x < kWarp) team_sums(sum, kThreads / kWarp);",
        "one warp alone comes to the barrier",
    ),
    Mutation(
        "warp-threads-leave", "warp_distance", "barrier", _WARP,
        "if (threadIdx.x != 0) continue;", "if (threadIdx.x != 0) return;",
        "threads leave that the next unit's barrier waits for",
    ),
    Mutation(
        "warp-half-the-warps", "warp_distance", "mask", _WARP,
        "team_sums(sum, kThreads / kWarp);", "team_sums(sum, kThreads / kWarp / 2);",
        "half of the block's warps are added",
    ),
    Mutation(
        "warp-channel-step", "warp_distance", "index", _WARP,
        "channel_step = p.parts / p.pixel_parts * channel_threads;",
        "channel_step = channel_threads;",
        "blocks that share an item's channels each take them all",
    ),
    Mutation(
        "warp-channel-part", "warp_distance", "index", _WARP,
        "int64_t{channel_part} * channel_threads + channel_thread", "int64_t{channel_thread}",
        "blocks that share an item's channels all start at the first",
    ),
    Mutation(
        "warp-sample-and-draw", "warp_distance", "index", _WARP,
        "sample = of_sample.quotient, draw = of_sample.rest;",
        "draw = of_sample.quotient, sample = of_sample.rest;",
        "sample and draw of a unit swapped",
    ),
    Mutation(
        "warp-part-offset", "warp_distance", "index", _WARP,
        "(int64_t{pixel_part} * p.pixel_threads + pixel_thread) * V",
        "(int64_t{pixel_part} + pixel_thread) * V",
        "an item's parts overlap",
    ),
    Mutation(
        "warp-row-wrap", "warp_distance", "index", _WARP,
        "if (++x == p.width) x = 0, ++y;", "if (++x > p.width) x = 0, ++y;",
        "a vector over a row's end goes one pixel too far",
    ),
    Mutation(
        "warp-fill-channel", "warp_distance", "index", _WARP,
        "fill[one_fill ? 0 : channel]", "fill[0]",
        "every channel gets the first one's fill",
    ),
    Mutation(
        "warp-many-fills", "warp_distance", "index", _WARP,
        "load(fills + channel)", "load(fills)",
        "many fills: every channel gets the first one's",
    ),
    Mutation(
        "warp-finish-stride", "warp_distance", "index", _WARP,
        "p.partial[item * p.parts + part]", "p.partial[part * items + item]",
        "the finish reads the parts transposed",
    ),
    Mutation(
        "warp-difference-16-bit", "warp_distance", "rounding", _WARP,
        "const Acc d = widen(own.at[v]) - from[v].value(p, plane, fill);",
        "const Acc d = widen(narrow<T>(widen(own.at[v]) - from[v].value(p, plane, fill)));",
        "the difference rounded to the maps' type before it is squared",
    ),
    Mutation(
        "warp-blend-16-bit", "warp_distance", "rounding", _WARP,
        "sum += bilinear_weight(point, t) * (inside",
        "sum = widen(narrow<T>(sum)) + bilinear_weight(point, t) * (inside",
        "the blend's running sum held in the maps' type",
    ),
    Mutation(
        "warp-sum-float", "warp_distance", "rounding", _WARP,
        "        sum += d * d;\n", "        sum = static_cast<float>(sum + d * d);\n",
        "float64 maps summed in float32",
    ),
    Mutation(
        "warp-finish-float", "warp_distance", "rounding", _WARP,
        "    Accumulator<T> sum = 0;\n    const Divided", "    float sum = 0;\n    const Divided",
        "the finish of float64 maps sums in float32",
    ),
    Mutation(
        "warp-finish-order", "warp_distance", "index", _WARP,
        "p.distance[of_sample.rest * p.batch + of_sample.quotient] = sum",
        "p.distance[item] = sum",
        "the finish writes sample by sample instead of draw by draw",
    ),
    Mutation(
        "warp-last-vector", "warp_distance", "edge", _WARP,
        "pixel < plane_size; pixel +=", "pixel + V < plane_size; pixel +=",
        "the last vector is left out",
    ),
    Mutation(
        "warp-tap-past-row", "warp_distance", "edge", _WARP,
        "x >= 0 && x < p.width && y >= 0", "x >= 0 && x <= p.width && y >= 0",
        "a tap right of the row reads instead of being fill",
    ),
    Mutation(
        "warp-first-pixel-fill", "warp_distance", "edge", _WARP,
        "return index >= 0 ? widen", "return index > 0 ? widen",
        "the plane's first pixel is taken for fill",
    ),
    Mutation(
        "warp-vector-test", "warp_distance", "edge", _WARP,
        "a.width % full == 0 ? full : 1;", "a.width % 2 == 0 ? full : 1;",
        "planes of 2 pixels more than whole vectors are read as vectors",
    ),
    Mutation(
        "warp-finish-last-part", "warp_distance", "edge", _WARP,
        "part < p.parts; ++part) sum", "part < p.parts - 1; ++part) sum",
        "the finish leaves out the last part",
    ),
    Mutation(
        "warp-finish-past-end", "warp_distance", "edge", _WARP,
        "blockIdx.x) * kThreads + threadIdx.x; item < items;",
        "blockIdx.x) * kThreads + threadIdx.x; item <= items;",
        "the finish makes one item too many",
    ),
    Mutation(
        "warp-finish-grid", "warp_distance", "edge", _WARP,
        "grid_for(ceil_div(a.draws * a.batch, kThreads))",
        "grid_for(a.draws * a.batch / kThreads)",
        "the finish's last partial block is not started",
    ),
    Mutation(
        "warp-fills-in-arguments", "warp_distance", "edge", _WARP,
        "a.channels <= kMaxChannels ? Fills::few", "a.channels <= kMaxChannels + 1 ? Fills::few",
        "17 fills are read from an argument that holds 16",
        mode="address",
    ),
    Mutation(
        "warp-fills-overflow", "warp_distance", "edge", _WARP,
        "c < a.channels && c < kMaxChannels; ++c)", "c < a.channels; ++c)",
        "more than 16 fills are written into an argument that holds 16",
        mode="address",
    ),
    Mutation(
        "warp-scaled-twice", "warp_distance", "constant", _WARP,
        "p.partial[unit] = sum[0];", "p.partial[unit] = sum[0] * p.scale;",
        "a distance of many parts is scaled twice",
    ),
    Mutation(
        "bilinear-weight", "warp_distance", "constant", _BILINEAR,
        "((tap >> 1) ? p.fy : 1 - p.fy)", "((tap >> 1) ? 1 - p.fy : p.fy)",
        "upper and lower tap swap their weights",
    ),
]  # fmt: skip

_WARP_BACKWARD = [
    Mutation(
        "warp-grad-transposed", "warp_distance_backward", "index", _WARP,
        "const Acc g = p.grad[item] * p.scale;",
        "const Acc g = p.grad[sample * p.draws + draw] * p.scale;",
        "the upstream gradient is read transposed",
    ),
    Mutation(
        "warp-grad-weight-swapped", "warp_distance_backward", "index", _WARP,
        "bilinear_weight(point, x - point.x + 2 * (y - point.y))",
        "bilinear_weight(point, y - point.y + 2 * (x - point.x))",
        "what a neighbour took from the right and from below is swapped",
    ),
    Mutation(
        "warp-grad-sample", "warp_distance_backward", "index", _WARP,
        "sample = in_sample.quotient, channel = in_sample.rest * kChannelTile",
        "sample = in_sample.rest, channel = in_sample.quotient * kChannelTile",
        "samples and tiles of channels swapped",
    ),
    Mutation(
        "warp-grad-fill-of-tile", "warp_distance_backward", "index", _WARP,
        "from.value(p, plane, p.fill_of(first_channel + c)));",
        "from.value(p, plane, p.fill_of(c)));",
        "a later tile of channels gets the first tile's fills",
    ),
    Mutation(
        "warp-grad-neighbour-fill", "warp_distance_backward", "index", _WARP,
        "taker.value(p, plane, p.fill_of(first_channel + c))",
        "taker.value(p, plane, p.fill_of(c))",
        "the same in what neighbours push back",
    ),
    Mutation(
        "warp-grad-system", "warp_distance_backward", "index", _WARP,
        "(yy * tx - xy * ty) * inverse", "(yy * tx - yx * ty) * inverse",
        "the linear system's off-diagonal entries swapped",
    ),
    Mutation(
        "warp-grad-floor", "warp_distance_backward", "rounding", _WARP,
        "ceilf(middle.x - kReach<Bilinear>)", "floorf(middle.x - kReach<Bilinear>)",
        "the first candidate is rounded down instead of up",
    ),
    Mutation(
        "warp-grad-factor-16-bit", "warp_distance_backward", "rounding", _WARP,
        "const Acc g = p.grad[item] * p.scale;",
        "const Acc g = widen(narrow<T>(p.grad[item] * p.scale));",
        "the upstream gradient rounded to the maps' type",
    ),
    Mutation(
        "warp-grad-push-16-bit", "warp_distance_backward", "rounding", _WARP,
        "              share *\n              (g * (widen(load(plane + at)) -"
        " taker.value(p, plane, p.fill_of(first_channel + c))));",
        "              widen(narrow<T>(share *\n              (g * (widen(load(plane + at)) -"
        " taker.value(p, plane, p.fill_of(first_channel + c))))));",
        "what each neighbour pushes back rounded to the maps' type",
    ),
    Mutation(
        "warp-grad-neighbour-past-row", "warp_distance_backward", "edge", _WARP,
        "tx >= p.width || ty < 0", "tx > p.width || ty < 0",
        "a neighbour right of the row counts",
    ),
    Mutation(
        "warp-grad-neighbour-above", "warp_distance_backward", "edge", _WARP,
        "ty < 0 || ty >= p.height", "ty < -1 || ty >= p.height",
        "a neighbour above the image counts",
    ),
    Mutation(
        "warp-grad-partial-tile", "warp_distance_backward", "edge", _WARP,
        "left < kChannelTile ? static_cast<int>(left) : kChannelTile", "kChannelTile",
        "the last partial tile of channels is taken for a whole one",
    ),
    Mutation(
        "warp-grad-unit-past-end", "warp_distance_backward", "edge", _WARP,
        "blockIdx.x) * kThreads + threadIdx.x; unit < units;",
        "blockIdx.x) * kThreads + threadIdx.x; unit <= units;",
        "one pixel too many in the last partial block",
    ),
    Mutation(
        "warp-grad-candidates", "warp_distance_backward", "constant", _WARP,
        "kCandidates = Bilinear ? 3 : 2;", "kCandidates = 2;",
        "two candidates an axis instead of three (bilinear)",
    ),
    Mutation(
        "warp-grad-one-row", "warp_distance_backward", "constant", _WARP,
        "ty < top + kCandidates<Bilinear>", "ty < top + 1",
        "one row of candidates",
    ),
    Mutation(
        "warp-grad-reach", "warp_distance_backward", "constant", _WARP,
        "Bilinear ? 1.46f : 0.76f", "0.76f",
        "the reach of a square of side 1 instead of 2 (bilinear)",
    ),
    Mutation(
        "warp-grad-half-pixel", "warp_distance_backward", "constant", _WARP,
        "x + 0.5f - k.x0 * kUnit", "x - k.x0 * kUnit",
        "the middle lies on the pixel's left edge (nearest)",
    ),
    Mutation(
        "warp-grad-one-side", "warp_distance_backward", "edge", _WARP,
        "tx < left + kCandidates<Bilinear>", "tx < left + kCandidates<Bilinear> - 1",
        "the last column of candidates is left out",
    ),
    Mutation(
        "warp-grad-no-shift", "warp_distance_backward", "constant", _WARP,
        "return {m.x + k.dx, m.y + k.dy};", "return {m.x, m.y};",
        "the middle lacks the shift",
    ),
    Mutation(
        "warp-grad-no-two", "warp_distance_backward", "constant", _WARP,
        "backward ? 2.0 * a.scale : a.scale", "a.scale",
        "the square's factor 2 is missing",
    ),
]  # fmt: skip

MUTATIONS = (
    *_FCT_VIEWS, *_FEATURE_FORWARD, *_FEATURE_BACKWARD, *_WARP_FORWARD, *_WARP_BACKWARD
)  # fmt: skip

# Changes that look like mistakes and are none: they are not in the list.
EQUIVALENT = {
    "affine.h: px shifted as unsigned": "a negative position becomes 32768 or more, which is "
    "outside every image (at most 32767 a side) as the negative one was",
    "reduce.h: the last lane stores the warp's sum": "every lane holds it",
    "reduce.h: teams of one warp go through shared memory": "the same sum, only slower",
    "feature_distance.h: a short channel's lanes step by 32 * V": "lanes * V covers a channel's "
    "pixels in one step unless lanes is 32",
    "feature_distance.h: more or fewer warps a sample": "another order of the same sum, right as "
    "well",
    "*.h: no early return for zero sizes": "zero units of work make a grid of zero blocks, which "
    "is not launched",
    "feature_distance.h: a division by one pixel": "gives the same bits",
    "gpu/*.h: another number of blocks, or of blocks on a unit": "kernels walk in strides of any "
    "grid; `test_kernels.py` shows the same bits for several",
    "warp_distance_backward: a barrier or mask": "the kernel has none",
}
