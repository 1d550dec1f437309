// One spelling for code that nvcc, g++ and the SIMT executor compile alike.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define FCT_HD __host__ __device__ __forceinline__
#else
#define FCT_HD inline
#endif
