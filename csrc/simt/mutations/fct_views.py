"""Changes to fct_views and to the geometry and the divider it shares."""

from __future__ import annotations

from mutations.mutation import Mutation

_VIEWS = "gpu/fct_views.h"
_AFFINE = "affine.h"
_BILINEAR = "bilinear.h"
_DIVIDER = "divider.h"

MUTATIONS = [
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
        "return row % kFull == 0 ?", "return row % 4 == 0 ?",
        "16-bit rows of 4 elements more than whole vectors are written as vectors",
    ),
    Mutation(
        "views-pixel-channels", "fct_views", "index", _VIEWS,
        "source.value(from[e / 3], e % 3)", "source.value(from[e / 3], 2 - e % 3)",
        "three channels innermost are written in the other order",
    ),
    Mutation(
        "views-pixel-neighbour", "fct_views", "index", _VIEWS,
        "made[e / V].at[e % V] = source.value(from[e / 3],",
        "made[e / V].at[e % V] = source.value(from[e / 4],",
        "a channel is taken from the pixel before",
    ),
    Mutation(
        "views-pixel-row", "fct_views", "index", _VIEWS,
        "to + 3 * (int64_t{place.y} * p.width + x)", "to + 3 * (int64_t{place.y} * p.height + x)",
        "rows of pixels lie as far apart as the image is high",
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
