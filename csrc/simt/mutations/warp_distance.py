"""Changes to warp_distance and to its backward."""

from __future__ import annotations

from mutations.mutation import Mutation

_FORWARD, _BACKWARD = "gpu/warp_forward.h", "gpu/warp_backward.h"
_WARP = "gpu/warp_distance.h"
_PARTS = "gpu/parts.h"
_BILINEAR = "bilinear.h"

FORWARD = [
    Mutation(
        "warp-one-warp-sums", "warp_distance", "barrier", _FORWARD,
        "team_sums(sum, kThreads / kWarp);",
        "if (threadIdx.x < kWarp) team_sums(sum, kThreads / kWarp);",
        "one warp alone comes to the barrier",
    ),
    Mutation(
        "warp-threads-leave", "warp_distance", "barrier", _FORWARD,
        "if (threadIdx.x == 0) p.parts", "if (threadIdx.x != 0) return;\n    p.parts",
        "threads leave that the next unit's barrier waits for",
    ),
    Mutation(
        "warp-half-the-warps", "warp_distance", "mask", _FORWARD,
        "team_sums(sum, kThreads / kWarp);", "team_sums(sum, kThreads / kWarp / 2);",
        "half of the block's warps are added",
    ),
    Mutation(
        "warp-channel-step", "warp_distance", "index", _FORWARD,
        "channel_step = p.parts.count / p.pixel_parts * channel_threads;",
        "channel_step = channel_threads;",
        "blocks that share an item's channels each take them all",
    ),
    Mutation(
        "warp-channel-part", "warp_distance", "index", _FORWARD,
        "int64_t{channel_part} * channel_threads + channel_thread", "int64_t{channel_thread}",
        "blocks that share an item's channels all start at the first",
    ),
    Mutation(
        "warp-sample-and-draw", "warp_distance", "index", _FORWARD,
        "sample = of_sample.quotient, draw = of_sample.rest;",
        "draw = of_sample.quotient, sample = of_sample.rest;",
        "sample and draw of a unit swapped",
    ),
    Mutation(
        "warp-part-offset", "warp_distance", "index", _FORWARD,
        "(int64_t{pixel_part} * p.pixel_threads + pixel_thread) * V",
        "(int64_t{pixel_part} + pixel_thread) * V",
        "an item's parts overlap",
    ),
    Mutation(
        "warp-row-wrap", "warp_distance", "index", _FORWARD,
        "if (++x == p.width) x = 0, ++y;", "if (++x > p.width) x = 0, ++y;",
        "a vector over a row's end goes one pixel too far",
    ),
    Mutation(
        "warp-fill-channel", "warp_distance", "index", _FORWARD,
        "fill[one_fill ? 0 : channel]", "fill[0]",
        "every channel gets the first one's fill",
    ),
    Mutation(
        "warp-many-fills", "warp_distance", "index", _FORWARD,
        "load(fills + channel)", "load(fills)",
        "many fills: every channel gets the first one's",
    ),
    Mutation(
        "warp-finish-stride", "warp_distance", "index", _PARTS,
        "sum += partial[item * count + part]", "sum += partial[part * items + item]",
        "the finish reads the parts transposed",
    ),
    Mutation(
        "warp-difference-16-bit", "warp_distance", "rounding", _FORWARD,
        "const Acc d = widen(own.at[v]) - from[v].value(p, plane, fill);",
        "const Acc d = widen(narrow<T>(widen(own.at[v]) - from[v].value(p, plane, fill)));",
        "the difference rounded to the maps' type before it is squared",
    ),
    Mutation(
        "warp-blend-16-bit", "warp_distance", "rounding", _FORWARD,
        "sum += bilinear_weight(point, t) * (inside",
        "sum = widen(narrow<T>(sum)) + bilinear_weight(point, t) * (inside",
        "the blend's running sum held in the maps' type",
    ),
    Mutation(
        "warp-sum-float", "warp_distance", "rounding", _FORWARD,
        "        sum += d * d;\n", "        sum = static_cast<float>(sum + d * d);\n",
        "float64 maps summed in float32",
    ),
    Mutation(
        "warp-finish-float", "warp_distance", "rounding", _PARTS,
        "      Acc sum = 0;\n", "      float sum = 0;\n",
        "the finish of float64 maps sums in float32",
    ),
    Mutation(
        "warp-distance-order", "warp_distance", "index", _FORWARD,
        "p.parts.put(draw * p.batch + sample", "p.parts.put(sample * p.draws + draw",
        "distances go sample by sample instead of draw by draw",
    ),
    Mutation(
        "warp-last-vector", "warp_distance", "edge", _FORWARD,
        "pixel < plane_size; pixel +=", "pixel + V < plane_size; pixel +=",
        "the last vector is left out",
    ),
    Mutation(
        "warp-tap-past-row", "warp_distance", "edge", _FORWARD,
        "x >= 0 && x < p.width && y >= 0", "x >= 0 && x <= p.width && y >= 0",
        "a tap right of the row reads instead of being fill",
    ),
    Mutation(
        "warp-first-pixel-fill", "warp_distance", "edge", _FORWARD,
        "return index >= 0 ? widen", "return index > 0 ? widen",
        "the plane's first pixel is taken for fill",
    ),
    Mutation(
        "warp-vector-test", "warp_distance", "edge", _WARP,
        "a.width % full == 0 ? full : 1;", "a.width % 2 == 0 ? full : 1;",
        "planes of 2 pixels more than whole vectors are read as vectors",
    ),
    Mutation(
        "warp-finish-last-part", "warp_distance", "edge", _PARTS,
        "part < count; part += kWarp", "part < count - 1; part += kWarp",
        "the finish leaves out the last part",
    ),
    Mutation(
        "warp-finish-past-end", "warp_distance", "edge", _PARTS,
        "item < items;", "item <= items;",
        "the finish makes one item too many",
    ),
    Mutation(
        "warp-finish-every-lane", "warp_distance", "mask", _PARTS,
        "sum = lane_sum(sum);", "lane_sum(sum);",
        "the finish takes the first lane's parts for the sum",
    ),
    Mutation(
        "warp-finish-stride-of-grid", "feature_distance", "edge", _PARTS,
        "item += int64_t{gridDim.x} * kWarps", "item += int64_t{gridDim.x} * kThreads",
        "a small grid's finish steps over items",
    ),
    Mutation(
        "warp-finish-grid", "warp_distance", "edge", _PARTS,
        "grid_for(ceil_div(items, kThreads / kWarp))", "grid_for(items / (kThreads / kWarp))",
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
        "warp-scaled-twice", "warp_distance", "constant", _PARTS,
        "partial[item * count + part] = value;", "partial[item * count + part] = value * scale;",
        "a distance of many parts is scaled twice",
    ),
    Mutation(
        "bilinear-weight", "warp_distance", "constant", _BILINEAR,
        "((tap >> 1) ? p.fy : 1 - p.fy)", "((tap >> 1) ? 1 - p.fy : p.fy)",
        "upper and lower tap swap their weights",
    ),
]  # fmt: skip

BACKWARD = [
    Mutation(
        "warp-grad-transposed", "warp_distance_backward", "index", _BACKWARD,
        "const Acc g = p.grad[item] * p.scale;",
        "const Acc g = p.grad[sample * p.draws + draw] * p.scale;",
        "the upstream gradient is read transposed",
    ),
    Mutation(
        "warp-grad-weight-swapped", "warp_distance_backward", "index", _FORWARD,
        "bilinear_weight(point, x - point.x + 2 * (y - point.y))",
        "bilinear_weight(point, y - point.y + 2 * (x - point.x))",
        "what a neighbour took from the right and from below is swapped",
    ),
    Mutation(
        "warp-grad-sample", "warp_distance_backward", "index", _BACKWARD,
        "sample = in_sample.quotient, channel = in_sample.rest * kChannelTile",
        "sample = in_sample.rest, channel = in_sample.quotient * kChannelTile",
        "samples and tiles of channels swapped",
    ),
    Mutation(
        "warp-grad-fill-of-tile", "warp_distance_backward", "index", _BACKWARD,
        "from.value(p, plane, p.fill_of(first_channel + c)));",
        "from.value(p, plane, p.fill_of(c)));",
        "a later tile of channels gets the first tile's fills",
    ),
    Mutation(
        "warp-grad-neighbour-fill", "warp_distance_backward", "index", _BACKWARD,
        "taker.value(p, plane, p.fill_of(first_channel + c))",
        "taker.value(p, plane, p.fill_of(c))",
        "the same in what neighbours push back",
    ),
    Mutation(
        "warp-grad-system", "warp_distance_backward", "index", _BACKWARD,
        "(yy * tx - xy * ty) * inverse", "(yy * tx - yx * ty) * inverse",
        "the linear system's off-diagonal entries swapped",
    ),
    Mutation(
        "warp-grad-floor", "warp_distance_backward", "rounding", _BACKWARD,
        "ceilf(middle.x - kReach<Bilinear>)", "floorf(middle.x - kReach<Bilinear>)",
        "the first candidate is rounded down instead of up",
    ),
    Mutation(
        "warp-grad-factor-16-bit", "warp_distance_backward", "rounding", _BACKWARD,
        "const Acc g = p.grad[item] * p.scale;",
        "const Acc g = widen(narrow<T>(p.grad[item] * p.scale));",
        "the upstream gradient rounded to the maps' type",
    ),
    Mutation(
        "warp-grad-push-16-bit", "warp_distance_backward", "rounding", _BACKWARD,
        "              share *\n              (g * (widen(load(plane + at)) -"
        " taker.value(p, plane, p.fill_of(first_channel + c))));",
        "              widen(narrow<T>(share *\n              (g * (widen(load(plane + at)) -"
        " taker.value(p, plane, p.fill_of(first_channel + c))))));",
        "what each neighbour pushes back rounded to the maps' type",
    ),
    Mutation(
        "warp-grad-neighbour-past-row", "warp_distance_backward", "edge", _BACKWARD,
        "tx >= p.width || ty < 0", "tx > p.width || ty < 0",
        "a neighbour right of the row counts",
    ),
    Mutation(
        "warp-grad-neighbour-above", "warp_distance_backward", "edge", _BACKWARD,
        "ty < 0 || ty >= p.height", "ty < -1 || ty >= p.height",
        "a neighbour above the image counts",
    ),
    Mutation(
        "warp-grad-partial-tile", "warp_distance_backward", "edge", _BACKWARD,
        "left < kChannelTile ? static_cast<int>(left) : kChannelTile", "kChannelTile",
        "the last partial tile of channels is taken for a whole one",
    ),
    Mutation(
        "warp-grad-unit-past-end", "warp_distance_backward", "edge", _BACKWARD,
        "blockIdx.x) * kThreads + threadIdx.x; unit < units;",
        "blockIdx.x) * kThreads + threadIdx.x; unit <= units;",
        "one pixel too many in the last partial block",
    ),
    Mutation(
        "warp-grad-candidates", "warp_distance_backward", "constant", _BACKWARD,
        "kCandidates = Bilinear ? 3 : 2;", "kCandidates = 2;",
        "two candidates an axis instead of three (bilinear)",
    ),
    Mutation(
        "warp-grad-one-row", "warp_distance_backward", "constant", _BACKWARD,
        "ty < top + kCandidates<Bilinear>", "ty < top + 1",
        "one row of candidates",
    ),
    Mutation(
        "warp-grad-reach", "warp_distance_backward", "constant", _BACKWARD,
        "Bilinear ? 1.46f : 0.76f", "0.76f",
        "the reach of a square of side 1 instead of 2 (bilinear)",
    ),
    Mutation(
        "warp-grad-half-pixel", "warp_distance_backward", "constant", _BACKWARD,
        "x + 0.5f - k.x0 * kUnit", "x - k.x0 * kUnit",
        "the middle lies on the pixel's left edge (nearest)",
    ),
    Mutation(
        "warp-grad-one-side", "warp_distance_backward", "edge", _BACKWARD,
        "tx < left + kCandidates<Bilinear>", "tx < left + kCandidates<Bilinear> - 1",
        "the last column of candidates is left out",
    ),
    Mutation(
        "warp-grad-no-shift", "warp_distance_backward", "constant", _BACKWARD,
        "return {m.x + k.dx, m.y + k.dy};", "return {m.x, m.y};",
        "the middle lacks the shift",
    ),
    Mutation(
        "warp-grad-no-two", "warp_distance_backward", "constant", _WARP,
        "2.0 * a.scale", "a.scale",
        "the square's factor 2 is missing",
    ),
]  # fmt: skip
