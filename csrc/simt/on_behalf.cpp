// Memory traffic that the executor makes for a thread. Compiled with the kernels' instrumentation,
// so that every checker sees it as that thread's own.
#include "access.h"

#include "memory.h"

namespace simt {

void deliver(unsigned char* to, const unsigned char* from, size_t bytes) {
  mark_delivered(to, bytes);
  for (size_t i = 0; i < bytes; ++i) to[i] = from[i];
}

void clear(unsigned char* to, size_t bytes) {
  mark_delivered(to, bytes);
  for (size_t i = 0; i < bytes; ++i) to[i] = 0;
}

void spoil(unsigned char* to, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) to[i] = Memory::kPoison;
}

}  // namespace simt
