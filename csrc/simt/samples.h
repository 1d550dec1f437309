// Small kernels, right ones and broken ones, on which the executor is tested itself.
#pragma once

#include <cstddef>
#include <string>

namespace simt {

void run_sample(const std::string& name, const void* in, void* out, unsigned grid, unsigned block,
                size_t shared);

}  // namespace simt
