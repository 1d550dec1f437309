// Small kernels, right ones and broken ones, on which the executor is tested itself.
#pragma once

#include <cstddef>
#include <string>

#include "executor.h"

namespace simt {

void run_sample(const std::string& name, const void* in, void* out, Dim3 grid, Dim3 block,
                size_t shared);

}  // namespace simt
