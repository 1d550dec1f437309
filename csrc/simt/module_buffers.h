// What the module's functions share: buffers on the device that Python's arrays are copied to, and
// the arguments that several kernels take.
#pragma once

#include <pybind11/numpy.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "access.h"
#include "executor.h"
#include "kernels/kernels.h"
#include "memory.h"

namespace simt {

namespace py = pybind11;
using fctfast::ScalarKind;

inline ScalarKind kind_of(const std::string& name) {
  if (name == "float32") return ScalarKind::f32;
  if (name == "float64") return ScalarKind::f64;
  if (name == "float16") return ScalarKind::f16;
  if (name == "bfloat16") return ScalarKind::bf16;
  throw py::value_error("expected float32, float64, float16 or bfloat16, got " + name);
}

inline size_t size_of(ScalarKind kind) {
  return kind == ScalarKind::f64 ? 8 : kind == ScalarKind::f32 ? 4 : 2;
}

inline size_t accumulator_size(ScalarKind kind) { return kind == ScalarKind::f64 ? 8 : 4; }

// The buffers of one call: freed at its end, whatever happened.
struct Buffers {
  Buffers() { Memory::instance().clear(); }
  ~Buffers() { Memory::instance().clear(); }

  // The bytes from the array's first to its last element; strides keep their meaning.
  void* input(const char* name, const py::array& array) {
    py::ssize_t span = array.size() == 0 ? 0 : array.itemsize();
    for (py::ssize_t d = 0; d < array.ndim() && span > 0; ++d) {
      if (array.strides(d) < 0) throw py::value_error("negative strides are not expected");
      span += (array.shape(d) - 1) * array.strides(d);
    }
    Region& region = Memory::instance().add(Space::global, name, static_cast<size_t>(span), false);
    std::memcpy(region.begin, array.data(), region.size);
    std::fill(region.state.begin(), region.state.end(), kWritten);
    return region.begin;
  }

  void* output(const char* name, size_t bytes) {
    return Memory::instance().add(Space::global, name, bytes, true).begin;
  }

  // The whole buffer, of which every byte must have been written.
  static py::array_t<uint8_t> take(const void* p) {
    const Region* region = Memory::instance().find(p);
    if (region == nullptr) return py::array_t<uint8_t>(0);
    for (size_t i = 0; i < region->state.size(); ++i)
      if (region->state[i] != kWritten)
        throw Error("the kernel never wrote " + Memory::instance().describe(region->begin + i));
    py::array_t<uint8_t> out(static_cast<py::ssize_t>(region->size));
    std::memcpy(out.mutable_data(), region->begin, region->size);
    return out;
  }
};

template <typename Args>
void set_coefficients(Args& args, Buffers& buffers, const py::array& coefficients) {
  const void* words = buffers.input("coefficients", coefficients);
  if (coefficients.itemsize() == 4) {
    args.nearest = static_cast<const fctfast::NearestCoefficients*>(words);
  } else {
    args.bilinear = static_cast<const fctfast::BilinearCoefficients*>(words);
  }
  args.draws = coefficients.shape(0);
}

// Everything of ViewArgs but `out`.
inline void set_views(fctfast::ViewArgs& a, Buffers& buffers, const py::array& images,
                      const std::vector<float>& mean, const std::vector<float>& std, bool nhwc,
                      const std::string& kind, bool channels_last) {
  const int c = nhwc ? 3 : 1, y = nhwc ? 1 : 2, x = nhwc ? 2 : 3;
  a.images = static_cast<const uint8_t*>(buffers.input("images", images));
  a.batch = images.shape(0);
  a.channels = images.shape(c);
  a.height = images.shape(y);
  a.width = images.shape(x);
  a.stride_n = images.strides(0);
  a.stride_c = images.strides(c);
  a.stride_y = images.strides(y);
  a.stride_x = images.strides(x);
  a.mean = mean.data();
  a.std = std.data();
  a.kind = kind_of(kind);
  a.channels_last = channels_last;
}

}  // namespace simt
