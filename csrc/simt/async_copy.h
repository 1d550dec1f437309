// cp.async: applied at its wait and not a moment before.
#pragma once

#include <cstddef>

namespace simt {

// Copies `from_bytes` and fills up to `bytes` (4, 8 or 16) with zeros, as cp.async's src-size.
void copy_async(void* shared, const void* global, size_t bytes, size_t from_bytes);
void commit_copies();
void wait_for_copies(size_t groups_left);

}  // namespace simt
