#include "samples.h"

#include <map>

namespace samples {
namespace {

std::map<std::string, void (*)(const Launch&)>& known() {
  static std::map<std::string, void (*)(const Launch&)> made;
  return made;
}

}  // namespace

bool add(std::initializer_list<Sample> samples) {
  for (const Sample& sample : samples) known()[sample.name] = sample.run;
  return true;
}

}  // namespace samples

void simt::run_sample(const std::string& name, const void* in, void* out, Dim3 grid, Dim3 block,
                      size_t shared) {
  const auto found = samples::known().find(name);
  if (found == samples::known().end()) throw Error("no sample kernel is called " + name);
  found->second({in, out, grid, block, shared});
}
