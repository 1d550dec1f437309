// Small kernels, right ones and broken ones, on which the executor is tested itself. Each takes one
// buffer to read and one to write.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <string>

#include "../cuda.h"

namespace simt {

void run_sample(const std::string& name, const void* in, void* out, Dim3 grid, Dim3 block,
                size_t shared);

}  // namespace simt

namespace samples {

struct Launch {
  const void* in;
  void* out;
  simt::Dim3 grid, block;
  size_t shared;

  template <typename In, typename Out>
  void operator()(void (*kernel)(const In*, Out*)) const {
    simt::launch(kernel, grid, block, shared, static_cast<const In*>(in), static_cast<Out*>(out));
  }
};

struct Sample {
  const char* name;
  void (*run)(const Launch&);
};
#define SAMPLE(name) {#name, [](const Launch& launch) { launch(&name); }}

// Makes them known to run_sample; called before main by the file that holds the kernels.
bool add(std::initializer_list<Sample> samples);

inline int rank() { return static_cast<int>(threadIdx.x); }
inline int global_rank() { return static_cast<int>(blockIdx.x * blockDim.x) + rank(); }

}  // namespace samples
