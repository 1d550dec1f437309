"""Changes to supcon_loss's backward for rows of several chunks: H in panels."""

from __future__ import annotations

from mutations.mutation import Mutation

_PANELS, _LAUNCH = "gpu/supcon_panels.h", "gpu/supcon_loss.h"
_OP = "supcon_loss"

MUTATIONS = [
    Mutation(
        "supcon-panels-warp", _OP, "index", _PANELS,
        "pulls_of<Products>(p, item, column / Products::kColumns)[warp];",
        "pulls_of<Products>(p, item, column / Products::kColumns)[0];",
        "warps write their H over each other's",
    ),
    Mutation(
        "supcon-panels-block", _OP, "index", _PANELS,
        "(item.row / kBlockRows * ceil_div(p.columns, Products::kColumns) + tile)",
        "(item.row / kBlockRows + tile)",
        "blocks of rows write their H over each other's",
    ),
    Mutation(
        "supcon-panels-words", _OP, "index", _PANELS,
        "h[v][i] = four.at[i];", "h[v][i] = four.at[0];",
        "a lane takes one of four words",
    ),
    Mutation(
        "supcon-panels-feature", _OP, "index", _PANELS,
        "const int64_t feature = item.chunk * kChunk,", "const int64_t feature = 0,",
        "every chunk of the gradient is the first one's",
    ),
    Mutation(
        "supcon-panels-wait", _OP, "barrier", _PANELS,
        "      wait_for_copies<1>();\n", "      wait_for_copies<2>();\n",
        "the tile's own copies are not waited for",
    ),
    Mutation(
        "supcon-panels-barrier", _OP, "barrier", _PANELS,
        "      wait_for_copies<1>();\n      __syncthreads();\n", "      wait_for_copies<1>();\n",
        "a thread multiplies what others' copies have not brought",
    ),
    Mutation(
        "supcon-panels-refill", _OP, "barrier", _PANELS,
        "shared.scratch(), sums);\n      __syncthreads();\n", "shared.scratch(), sums);\n",
        "a tile is overwritten while others still read it",
        mode="thread",
    ),
    Mutation(
        "supcon-panels-first", _OP, "index", _LAUNCH,
        "rows.first = a.first + first;", "rows.first = first;",
        "a process's panels are those of the first rows",
    ),
    Mutation(
        "supcon-panels-gradient", _OP, "index", _LAUNCH,
        "static_cast<T*>(a.grad_z) + first * a.width;", "static_cast<T*>(a.grad_z);",
        "panels write their gradients over each other's",
    ),
    Mutation(
        "supcon-panels-last", _OP, "edge", _LAUNCH,
        "rows.rows = std::min(blocks * kBlockRows, a.rows - first);",
        "rows.rows = blocks * kBlockRows;",
        "the last panel reaches behind the last own row",
    ),
]  # fmt: skip
