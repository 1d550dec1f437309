#include "cpu_kernels.h"

#include <dlfcn.h>

#include <cstdlib>
#include <string>
#include <vector>

#include <torch/headeronly/util/Exception.h>

namespace fctfast {
namespace {

std::string folder_of_this_library() {
  Dl_info info{};
  STD_TORCH_CHECK(dladdr(reinterpret_cast<const void*>(&cpu_kernels), &info) != 0,
                  "fctfast: cannot find the folder of its own library");
  const std::string path(info.dli_fname);
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash + 1);
}

std::vector<std::string> supported_instruction_sets() {
  std::vector<std::string> names;
#if defined(__x86_64__)
  // Whatever CMakeLists.txt compiles them for.
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("f16c");
  if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
    names.emplace_back("avx512");
  }
  if (avx2) names.emplace_back("avx2");
#endif
  names.emplace_back("baseline");
  return names;
}

const CpuKernels* load() {
  const std::string folder = folder_of_this_library();
  const char* wanted = std::getenv("FCTFAST_ISA");
  std::string tried;
  for (const std::string& name : supported_instruction_sets()) {
    if (wanted != nullptr && *wanted != '\0' && name != wanted) continue;
    const std::string path = folder + "libfctfast_cpu_" + name + ".so";
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      tried += std::string(" ") + dlerror();
      continue;
    }
    using Entry = const CpuKernels* (*)();
    const auto entry = reinterpret_cast<Entry>(dlsym(library, "fctfast_cpu_kernels"));
    if (entry != nullptr) return entry();
  }
  STD_TORCH_CHECK(false, "fctfast: no CPU kernels could be loaded (FCTFAST_ISA=",
                  wanted == nullptr ? "" : wanted,
                  ", expected baseline, avx2 or avx512 as far as "
                  "this processor supports them).",
                  tried);
}

}  // namespace

const CpuKernels& cpu_kernels() {
  static const CpuKernels* kernels = load();
  return *kernels;
}

}  // namespace fctfast
