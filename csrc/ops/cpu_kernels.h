#pragma once

#include "../kernels/cpu/kernels.h"

namespace fctfast {

// The kernels of the best instruction set that this processor has and this build holds. The
// environment variable FCTFAST_ISA (baseline, avx2, avx512) lowers the choice, for tests.
const CpuKernels& cpu_kernels();

}  // namespace fctfast
