// The plain mode's checker. Kernels are compiled with -fsanitize=thread, which calls a function
// before every access; libtsan is not linked, and these functions stand in for it: each access
// must lie in a buffer, aligned, and read only what was written.
#include "access.h"

#include <dlfcn.h>
#include <execinfo.h>

#include <sstream>

#include "sanitizers.h"
#include "threads.h"

namespace simt {

Traffic& traffic() {
  static Traffic made;
  return made;
}

namespace {

void mark(void* shared, size_t bytes, ByteState state) {
  Region* region = Memory::instance().find(shared);
  if (region == nullptr || region->state.empty()) return;
  const size_t at = static_cast<size_t>(static_cast<unsigned char*>(shared) - region->begin);
  for (size_t i = 0; i < bytes; ++i) region->state[at + i] = state;
}

}  // namespace

void mark_in_flight(void* shared, size_t bytes) { mark(shared, bytes, kInFlight); }
void mark_delivered(void* shared, size_t bytes) { mark(shared, bytes, kUnwritten); }

std::string call_stack() {
  void* calls[32];
  Dl_info own{}, info{};
  dladdr(reinterpret_cast<void*>(&call_stack), &own);
  std::ostringstream text;
  const int depth = backtrace(calls, 32);
  for (int i = 1; i < depth; ++i)
    if (dladdr(calls[i], &info) != 0 && info.dli_fbase == own.dli_fbase)
      text << " 0x" << std::hex
           << static_cast<const char*>(calls[i]) - static_cast<const char*>(own.dli_fbase) - 1;
  return " [code" + text.str() + "]";
}

#if FCTFAST_SIMT_MODE == 0
namespace {

[[noreturn]] void refuse(const char* does, size_t size, const char* why, const void* p) {
  fail(std::string(does) + " " + std::to_string(size) + " bytes " + why + ": " +
       Memory::instance().describe(p));
}

// Atomics that use what they find both read and write; an exchange may meet what nobody wrote.
enum class Does { read, write, update };

void check(const void* p, size_t size, Does what, bool must_align) {
  if (Block::current == nullptr || Block::current->running == nullptr) return;
  Memory& memory = Memory::instance();
  const auto address = reinterpret_cast<uintptr_t>(p);
  const bool read = what != Does::write, write = what != Does::read;
  const char* does = read && write ? "updates" : write ? "writes" : "reads";
  if (!memory.is_inside(p)) {
    if (address < 4096) refuse(does, size, "through a null pointer", p);
    return;  // the thread's own stack, constants, arguments
  }
  Region* region = memory.find(p);
  if (region == nullptr ||
      address + size > reinterpret_cast<uintptr_t>(region->begin) + region->size)
    refuse(does, size, "out of bounds",
           region == nullptr ? p : static_cast<const char*>(p) + size - 1);
  if (must_align && address % size != 0) refuse(does, size, "misaligned", p);
  if (write && !region->writable) refuse(does, size, "of a read-only buffer", p);
  uint8_t* state = region->state.data() + (address - reinterpret_cast<uintptr_t>(region->begin));
  for (size_t i = 0; i < size; ++i) {
    if (state[i] == kInFlight) refuse(does, size, "of a cp.async that was not waited for", p);
    if (read && state[i] == kUnwritten) refuse(does, size, "that nobody has written", p);
    if (write) state[i] = kWritten;
  }
  Traffic& t = traffic();
  const bool global = region->space == Space::global;
  if (read) (global ? t.global_read : t.shared_read) += size;
  if (write) (global ? t.global_written : t.shared_written) += size;
}

}  // namespace
#endif

}  // namespace simt

#if FCTFAST_SIMT_MODE == 0
// ---- what g++ calls ----------------------------------------------------------------------------

#define FCT_ACCESS(size)                                                                       \
  void __tsan_read##size(void* p) { simt::check(p, size, simt::Does::read, true); }            \
  void __tsan_write##size(void* p) { simt::check(p, size, simt::Does::write, true); }          \
  void __tsan_unaligned_read##size(void* p) { simt::check(p, size, simt::Does::read, false); } \
  void __tsan_unaligned_write##size(void* p) { simt::check(p, size, simt::Does::write, false); }

#define FCT_ATOMIC(bits, type)                                                                \
  type __tsan_atomic##bits##_load(const volatile type* p, int order) {                        \
    simt::check(const_cast<type*>(p), sizeof(type), simt::Does::read, true);                  \
    return __atomic_load_n(p, order);                                                         \
  }                                                                                           \
  void __tsan_atomic##bits##_store(volatile type* p, type v, int order) {                     \
    simt::check(const_cast<type*>(p), sizeof(type), simt::Does::write, true);                 \
    __atomic_store_n(p, v, order);                                                            \
  }                                                                                           \
  type __tsan_atomic##bits##_exchange(volatile type* p, type v, int order) {                  \
    ++simt::traffic().atomics;                                                                \
    simt::check(const_cast<type*>(p), sizeof(type), simt::Does::write, true);                 \
    return __atomic_exchange_n(p, v, order);                                                  \
  }                                                                                           \
  type __tsan_atomic##bits##_fetch_add(volatile type* p, type v, int order) {                 \
    ++simt::traffic().atomics;                                                                \
    simt::check(const_cast<type*>(p), sizeof(type), simt::Does::update, true);                \
    return __atomic_fetch_add(p, v, order);                                                   \
  }                                                                                           \
  int __tsan_atomic##bits##_compare_exchange_strong(volatile type* p, type* expected, type v, \
                                                    int order, int) {                         \
    ++simt::traffic().atomics;                                                                \
    simt::check(const_cast<type*>(p), sizeof(type), simt::Does::update, true);                \
    return __atomic_compare_exchange_n(p, expected, v, false, order, __ATOMIC_RELAXED);       \
  }

extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_read_range(void* p, unsigned long size) {
  simt::check(p, size, simt::Does::read, false);
}
void __tsan_write_range(void* p, unsigned long size) {
  simt::check(p, size, simt::Does::write, false);
}
void __tsan_read1(void* p) { simt::check(p, 1, simt::Does::read, false); }
void __tsan_write1(void* p) { simt::check(p, 1, simt::Does::write, false); }
FCT_ACCESS(2)
FCT_ACCESS(4)
FCT_ACCESS(8)
FCT_ACCESS(16)
FCT_ATOMIC(32, uint32_t)
FCT_ATOMIC(64, uint64_t)
}
#endif
