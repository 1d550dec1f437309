// What the plain mode knows of every access, and traffic that the executor makes for a thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace simt {

void mark_in_flight(void* shared, size_t bytes);  // a cp.async's target until its wait
void mark_delivered(void* shared, size_t bytes);

void deliver(unsigned char* to, const unsigned char* from, size_t bytes);  // copies
void clear(unsigned char* to, size_t bytes);                               // writes zeros
void spoil(unsigned char* to, size_t bytes);                               // writes poison

// Where the running thread is, the innermost call first; the harness turns it into source lines.
std::string call_stack();

// Bytes that kernels moved, in the plain mode.
struct Traffic {
  uint64_t global_read = 0, global_written = 0, shared_read = 0, shared_written = 0;
  uint64_t atomics = 0;
};
Traffic& traffic();

}  // namespace simt
