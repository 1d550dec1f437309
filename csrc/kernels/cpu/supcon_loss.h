// The supervised contrastive loss in tiles of rows x rows: no N x N array, and each pair of tiles
// is visited once for both of its sides (S and H are symmetric). Where other processes have rows,
// too, each own tile visits all tiles for its own side instead.
//
// The pairs are walked in rounds, as a round-robin tournament: in a round every tile meets one
// other, so the pairs of a round share no row and run in parallel, and each row's sums are taken
// in the order of the rounds, whatever the number of threads.
#pragma once

#include "kernels.h"

namespace fctfast::cpu {

// Items: pairs of tiles of a round, or own tiles.
void supcon_largest(const SupConArgs&, int64_t begin, int64_t end);
void supcon_denominator(const SupConArgs&, int64_t begin, int64_t end);
void supcon_sums(const SupConArgs&, int64_t begin, int64_t end);

}  // namespace fctfast::cpu
