"""Changes to contrastive_views, to its resampling, its colours and its plan."""

from __future__ import annotations

from mutations.mutation import Mutation

_KERNEL = "contrastive_views"
_VIEWS = "gpu/contrastive_views.h"
_RESAMPLING, _COLOUR, _PLAN = "resampling.h", "colour.h", "view_plan.h"
_BARRIER = "  __syncthreads();  // before the next view's"

MUTATIONS = [
    Mutation(
        "contrastive-mean-barrier", _KERNEL, "barrier", _VIEWS,
        _BARRIER, "  // before the next view's",
        "no barrier between writing a block's mean and reading it",
    ),
    Mutation(
        "contrastive-mean-barrier-tsan", _KERNEL, "barrier", _VIEWS,
        _BARRIER, "  // before the next view's",
        "the same, seen as a race",
        mode="thread",
    ),
    Mutation(
        "contrastive-barrier-partial", _KERNEL, "barrier", _VIEWS,
        "if (plan.mean_at < plan.steps) {", "if (plan.mean_at < plan.steps && first < p.pixels) {",
        "threads without a pixel do not come to the barriers of the mean",
    ),
    Mutation(
        "contrastive-staged-barrier", _KERNEL, "barrier", _VIEWS,
        "normalised<T>(p, x[i], c);\n      __syncwarp();\n", "normalised<T>(p, x[i], c);\n",
        "no barrier between staging a warp's pixels and writing them out",
    ),
    Mutation(
        "contrastive-staged-barrier-tsan", _KERNEL, "barrier", _VIEWS,
        "mine[element]);\n      }\n      __syncwarp();\n", "mine[element]);\n      }\n",
        "the next pixels are staged while the last ones are written out",
        mode="thread",
    ),
    Mutation(
        "contrastive-parts-mask", _KERNEL, "mask", _VIEWS,
        "lane < p.grey_parts ?", "lane <= p.grey_parts ?",
        "the next view's first sum is added to the mean",
    ),
    Mutation(
        "contrastive-black-outside", _KERNEL, "mask", _VIEWS,
        "if (first + i * kThreads < p.pixels) x[i] =", "x[i] =",
        "pixels past the view's end are made as well, and added to its mean",
    ),
    Mutation(
        "contrastive-crop-strides", _KERNEL, "index", _VIEWS,
        "plan.top * p.stride_y + plan.left * p.stride_x",
        "plan.top * p.stride_x + plan.left * p.stride_y",
        "row and column strides of the crop's corner swapped",
    ),
    Mutation(
        "contrastive-sample", _KERNEL, "index", _VIEWS,
        "divide(row, p.by_batch).rest", "divide(row, p.by_batch).quotient",
        "the view's number is taken for the sample's",
    ),
    Mutation(
        "contrastive-flip", _KERNEL, "index", _VIEWS,
        "p.across.outputs - 1 - x : x", "p.across.outputs - x : x",
        "a flipped view is one column off",
    ),
    Mutation(
        "contrastive-parts-row", _KERNEL, "index", _VIEWS,
        "p.greys + row * p.grey_parts + lane", "p.greys + row + lane",
        "the sums of another view's parts",
    ),
    Mutation(
        "contrastive-staged-order", _KERNEL, "index", _VIEWS,
        "mine[lane * C + c] =", "mine[c * kWarp + lane] =",
        "interleaved channels are written plane by plane",
    ),
    Mutation(
        "contrastive-greys-stride", _KERNEL, "index", _VIEWS,
        "pixel += stride)", "pixel += kThreads)",
        "the parts of the walk before the mean overlap",
    ),
    Mutation(
        "contrastive-order", _KERNEL, "index", _PLAN,
        "((left >> (at + 2)) << at)", "((left >> at) << at)",
        "a colour step that was drawn stays among those to draw",
    ),
    Mutation(
        "contrastive-scale", _KERNEL, "rounding", _VIEWS,
        "1.0f / columns.total() * (1.0f / rows.total() * kByte)",
        "kByte / (columns.total() * rows.total())",
        "one division in place of two reciprocals",
    ),
    Mutation(
        "contrastive-grey-rounds", _KERNEL, "rounding", _VIEWS,
        "grey_of(x, C == 3) * kGreySteps)", "grey_of(x, C == 3) * kGreySteps + 0.5f)",
        "greys rounded where the CPU truncates",
    ),
    Mutation(
        "contrastive-row-16-bit", _KERNEL, "rounding", _VIEWS,
        "sum[c] += weight * row[c]", "sum[c] += weight * widen(narrow<BFloat16>(row[c]))",
        "a row's sum rounded before the rows are added up",
    ),
    Mutation(
        "contrastive-first-tap", _KERNEL, "edge", _RESAMPLING,
        "quotient(low > 0 ? low : 0)", "quotient(low)",
        "taps left of the crop",
    ),
    Mutation(
        "contrastive-last-tap", _KERNEL, "edge", _RESAMPLING,
        "(last < inputs ? last : inputs) - first", "last - first",
        "taps right of the crop",
    ),
    Mutation(
        "contrastive-plane-past-end", _KERNEL, "edge", _VIEWS,
        "if (pixel >= p.pixels) break;", "if (pixel > p.pixels) break;",
        "a plane's last partial part writes one pixel too many",
    ),
    Mutation(
        "contrastive-staged-past-end", _KERNEL, "edge", _VIEWS,
        "start + element < int64_t{p.pixels} * C", "start + element <= int64_t{p.pixels} * C",
        "an interleaved view's last partial part writes one element too many",
    ),
    Mutation(
        "contrastive-crop-past-end", _KERNEL, "edge", _PLAN,
        "1, height - v.top)", "1, height)",
        "a crop that begins inside the image may end outside of it",
    ),
    Mutation(
        "contrastive-no-antialias", _KERNEL, "constant", _RESAMPLING,
        "2 * (inputs > axis.outputs ? inputs : axis.outputs)", "2 * axis.outputs",
        "a triangle as wide as two inputs, whatever the outputs",
    ),
    Mutation(
        "contrastive-hue-sector", _KERNEL, "constant", _COLOUR,
        "green ? zero + 2.0f :", "green ? zero + 3.0f :",
        "green's sector of the hue begins at another's",
    ),
    Mutation(
        "contrastive-no-clamp", _KERNEL, "constant", _COLOUR,
        "return {clamp01(factor * x.r + rest),", "return {factor * x.r + rest,",
        "a step's red may leave [0, 1]",
    ),
]  # fmt: skip
