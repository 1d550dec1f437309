// What the Python side asks of the library itself.
#include <string>

#include "common.h"
#include "cpu_kernels.h"

namespace fctfast {
namespace {

std::string instruction_set() { return cpu_kernels().instruction_set; }

STABLE_TORCH_LIBRARY_FRAGMENT(fctfast, m) { m.def("instruction_set() -> str"); }

STABLE_TORCH_LIBRARY_IMPL(fctfast, CompositeExplicitAutograd, m) {
  m.impl("instruction_set", TORCH_BOX(&instruction_set));
}

}  // namespace
}  // namespace fctfast
