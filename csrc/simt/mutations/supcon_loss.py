"""What `mutate.py` breaks in the kernels of supcon_loss."""

from __future__ import annotations

from mutations.mutation import Mutation

_PRODUCTS, _WALK = "gpu/supcon_products.h", "gpu/supcon_walk.h"
_ROWS, _LOSS = "gpu/supcon_rows.h", "gpu/supcon_kernels.h"
_TRIANGLE = "gpu/supcon_triangle.h"
_OP = "supcon_loss"

MUTATIONS = [
    # ---- the products
    Mutation(
        "supcon-float-last-features", _OP, "edge", _PRODUCTS,
        "for (int part = 0; part < depth; part += 16)",
        "for (int part = 0; part + 16 < depth; part += 16)",
        "the last sixteen features are left out of the similarities",
    ),
    Mutation(
        "supcon-float-h-before-read", _OP, "barrier", _PRODUCTS,
        "bits_to_float(a[r][c]);\n    __syncwarp();\n", "bits_to_float(a[r][c]);\n",
        "lanes read H that others have not written",
    ),
    Mutation(
        "supcon-float-feature-guard", _OP, "edge", _PRODUCTS,
        ">= depth) continue;  // behind the last feature", "> depth) continue;",
        "features behind the last one are read",
    ),
    Mutation(
        "supcon-tf32-operand", _OP, "index", _PRODUCTS,
        "a[n][0] = to_tf32(h[n][0]), a[n][1] = to_tf32(h[n][2]);",
        "a[n][0] = to_tf32(h[n][0]), a[n][1] = to_tf32(h[n][1]);",
        "rows and columns of H change places in the operand",
    ),
    Mutation(
        "supcon-tf32-rows", _OP, "index", _PRODUCTS,
        "float_to_bits(b_row[kStride + 8 * tile])", "float_to_bits(b_row[4 * kStride + 8 * tile])",
        "the operand's second half comes from other columns than H's",
    ),
    Mutation(
        "supcon-tf32-unrounded", _OP, "rounding", _PRODUCTS,
        "return bits_to_float(to_tf32(x));", "return x;",
        "rows enter the products with bits that tf32 does not have",
    ),
    Mutation(
        "supcon-half-transposed", _OP, "index", _PRODUCTS,
        "load_matrices<true>", "load_matrices<false>",
        "the sums multiply H with the columns' transpose",
    ),
    Mutation(
        "supcon-half-matrices", _OP, "index", _PRODUCTS,
        "(lane / 16 * 8 + lane % 8) * kStride + lane / 8 % 2 * 8",
        "lane % 16 * kStride + lane / 16 * 8",
        "columns and features change places in the operand of the similarities",
    ),
    Mutation(
        "supcon-half-pairs", _OP, "index", _PRODUCTS,
        "narrow<Half>(low).bits} | uint32_t{narrow<Half>(high).bits} << 16",
        "narrow<Half>(high).bits} | uint32_t{narrow<Half>(low).bits} << 16",
        "two neighbours in H change places",
    ),
    # ---- the walk
    Mutation(
        "supcon-walk-barrier", _OP, "barrier", _WALK,
        "wait_for_copies<Stages - 1>();\n      __syncthreads();\n",
        "wait_for_copies<Stages - 1>();\n",
        "a thread multiplies what others' copies have not brought",
    ),
    Mutation(
        "supcon-walk-refill", _OP, "barrier", _WALK,
        "      }\n      __syncthreads();\n", "      }\n",
        "a tile is overwritten while others still read it",
        mode="thread",
    ),
    Mutation(
        "supcon-walk-wait", _OP, "barrier", _WALK,
        "wait_for_copies<Stages - 1>();\n", "wait_for_copies<Stages>();\n",
        "the tile's own copies are not waited for",
    ),
    Mutation(
        "supcon-walk-chunks", _OP, "edge", _WALK,
        "if (chunk == chunks - 1) {", "if (chunk == 0) {",
        "similarities are taken for whole after their first chunk",
    ),
    Mutation(
        "supcon-walk-zero", _OP, "index", _WALK,
        "  for (int64_t tile = item.tile_begin; tile < item.tile_end; ++tile) {\n"
        "    const int stage = stage_of(tile);\n    typename Products::Similarities s = {};\n",
        "  typename Products::Similarities s = {};\n"
        "  for (int64_t tile = item.tile_begin; tile < item.tile_end; ++tile) {\n"
        "    const int stage = stage_of(tile);\n",
        "similarities go on from the tile before",
    ),
    Mutation(
        "supcon-walk-tail", _OP, "edge", _WALK,
        "meets_itself || column + kColumns > p.columns", "meets_itself",
        "columns behind the last one count",
    ),
    Mutation(
        "supcon-walk-diagonal", _OP, "edge", _WALK,
        "visit(s, column, stage, meets_itself || ", "visit(s, column, stage, ",
        "rows meet themselves",
    ),
    Mutation(
        "supcon-walk-list", _OP, "edge", _WALK,
        "left >= kFull ? 16 : left > 0", "left > 0 ? 16 : left > 0",
        "sixteen bytes are read where fewer are left",
    ),
    Mutation(
        "supcon-walk-splits", _OP, "index", _WALK,
        "tiles * (split + 1) / p.splits", "tiles * (split + 1) / (p.splits + 1)",
        "the last columns belong to no share",
    ),
    # ---- row by row
    Mutation(
        "supcon-rows-zero", _OP, "edge", _ROWS,
        "squares == 0 ? 0.0 : 1 / sqrt(squares)", "1 / sqrt(squares)",
        "a row of zeros has an infinite inverse length",
    ),
    Mutation(
        "supcon-rows-pad", _OP, "edge", _ROWS,
        "d < p.width ? static_cast<double>(widen(load(z + row * p.width + d))) * factor : 0.0",
        "static_cast<double>(widen(load(z + row * p.width + d))) * factor",
        "the padding is the next row's beginning",
    ),
    Mutation(
        "supcon-rows-no-positive", _OP, "edge", _ROWS,
        "positives > 0 ? p.h_scale *", "true ? p.h_scale *",
        "a row without a positive pulls",
    ),
    Mutation(
        "supcon-rows-shift", _OP, "rounding", _ROWS,
        "relative_to = static_cast<double>(p.shift[row]) / p.temperature;",
        "relative_to = log_denominator;",
        "what rounding took from a shift is not given back",
    ),
    Mutation(
        "supcon-rows-anchors", _OP, "mask", _ROWS,
        "p.given[2 * row + 1] > 0 ? 1.0 : 0.0", "p.given[2 * row + 1] >= 0 ? 1.0 : 0.0",
        "rows without a positive count as anchors",
    ),
    Mutation(
        "supcon-rows-scale", _OP, "constant", _ROWS,
        " * static_cast<double>(p.h_scale));", ");",
        "H's scale stays in the gradient",
    ),
    Mutation(
        "supcon-finish-warps", _OP, "index", _ROWS,
        "team_sums<kLossThreads>(sums, kLossThreads / kWarp);",
        "team_sums<kLossThreads>(sums, kThreads / kWarp);",
        "the losses of most warps are left out",
    ),
    Mutation(
        "supcon-finish-largest", _OP, "rounding", _ROWS,
        "        all.largest = largest;\n", "",
        "shares of a row are joined at the wrong exponent",
    ),
    Mutation(
        "supcon-finish-count", _OP, "index", _ROWS,
        "      all.count += more.count;\n", "",
        "positives of other shares are not counted",
    ),
    Mutation(
        "supcon-grad-along", _OP, "constant", _ROWS,
        "__fmaf_rn(-along, unit_at(d), sum_at(d))", "sum_at(d)",
        "the gradient keeps what lies along the row",
    ),
    Mutation(
        "supcon-grad-shares", _OP, "index", _ROWS,
        "split < p.splits; ++split)\n        sum +=",
        "split < p.splits - 1; ++split)\n        sum +=",
        "a share of the columns is left out of the gradient",
    ),
    # ---- the upper triangle
    Mutation(
        "supcon-triangle-lanes", _OP, "index", _TRIANGLE,
        "(upper ? mine[2] : mine[0])", "(upper ? mine[0] : mine[2])",
        "lanes add up other columns' sums",
    ),
    Mutation(
        "supcon-triangle-turn", _OP, "barrier", _TRIANGLE,
        "columns.put(turn, sum, positives, count);", "columns.put(0, sum, positives, count);",
        "a tile's sums are overwritten before they are in the totals",
    ),
    Mutation(
        "supcon-triangle-last", _OP, "edge", _TRIANGLE,
        "    columns.add(turn ^ 1, waiting);\n    __syncthreads();\n", "    __syncthreads();\n",
        "the last tile's sums do not reach the totals",
    ),
    Mutation(
        "supcon-triangle-store-barrier", _OP, "barrier", _TRIANGLE,
        "    columns.add(turn ^ 1, waiting);\n    __syncthreads();\n",
        "    columns.add(turn ^ 1, waiting);\n",
        "totals are written down before the last tile is in them",
        mode="thread",
    ),
    Mutation(
        "supcon-triangle-clear", _OP, "index", _TRIANGLE,
        "      totals(0)[i] = totals(1)[i] = totals(2)[i] = 0;\n", "",
        "a pair of blocks begins with the sums of the one before",
    ),
    Mutation(
        "supcon-triangle-diagonal", _OP, "index", _TRIANGLE,
        "const bool apart = upper != lower;", "const bool apart = true;",
        "a block's own pairs are written down twice",
    ),
    Mutation(
        "supcon-statistics-rows", _OP, "index", _ROWS,
        "threadIdx.x, p.rows, p.rows);", "threadIdx.x, p.rows, kThreads);",
        "a block adds the losses of the blocks behind it, too",
    ),
    Mutation(
        "supcon-statistics-block", _OP, "index", _ROWS,
        "p.losses[block] = {sums[0], sums[1]};", "p.losses[0] = {sums[0], sums[1]};",
        "blocks write their losses over each other's",
    ),
    Mutation(
        "supcon-mean-blocks", _OP, "edge", _ROWS,
        "block < row_blocks; block += kThreads", "block < row_blocks - 1; block += kThreads",
        "the last block's losses are left out of the mean",
    ),
    # ---- forward and backward
    Mutation(
        "supcon-lengths", _OP, "constant", _LOSS,
        "if constexpr (!Products::kUnitRows) "
        "divide_by_lengths<Products>(s, shared.lengths(stage));\n",
        "",
        "the columns' lengths stay in the denominators",
    ),
    Mutation(
        "supcon-h-length", _OP, "constant", _LOSS,
        "        if constexpr (!Products::kUnitRows) h *= other_length;\n", "",
        "the columns' lengths stay in the gradient",
    ),
    Mutation(
        "supcon-h-exponent", _OP, "rounding", _LOSS,
        "exp2_approx(p.scale * beside_row) +",
        "exp2_approx(__fmaf_rn(scale[r], similarity, -p.scale * shift[r])) +",
        "exponents are rounded at their own size",
    ),
    Mutation(
        "supcon-push", _OP, "constant", _LOSS,
        "2 * kHScale / positives", "kHScale / positives",
        "one side of a pair alone pushes",
    ),
    Mutation(
        "supcon-own-column", _OP, "index", _LOSS,
        "column + at == p.first + row[r]", "column + at == row[r]",
        "a process's rows are taken for the first ones",
    ),
    Mutation(
        "supcon-store-guard", _OP, "edge", _LOSS,
        "if (own < p.rows && d < depth)", "if (d < depth)",
        "rows behind the last own one are written",
    ),
    Mutation(
        "supcon-wide-rescale", _OP, "rounding", _LOSS,
        "part[r].sum = rescaled(part[r].sum, scale[r] * (part[r].largest - largest));\n",
        "",
        "a sum keeps the exponent of an earlier largest",
    ),
    Mutation(
        "supcon-wide-lanes", _OP, "rounding", _LOSS,
        "        all.sum = rescaled(all.sum, scale[r] * (part[r].largest - all.largest));\n", "",
        "lanes add sums of different exponents",
    ),
    Mutation(
        "supcon-lanes-of-row", _OP, "mask", _LOSS,
        "all.sum = lane_sum(all.sum, Products::kLanesOfRow);", "all.sum = lane_sum(all.sum, 4);",
        "half of a float32 row's lanes are added",
    ),
]  # fmt: skip
