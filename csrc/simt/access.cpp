// The plain mode's checker. Kernels are compiled with -fsanitize=thread, which calls a function
// before every access; libtsan is not linked, and these functions stand in for it: each access
// must lie in a buffer, aligned, and read only what was written.
#include "access.h"

#include <dlfcn.h>

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

#if FCTFAST_SIMT_MODE == 0
namespace {

[[noreturn]] void refuse(const char* does, size_t size, const char* why, const void* p,
                         const void* code) {
  std::ostringstream text;
  text << does << " " << size << " bytes " << why << ": " << Memory::instance().describe(p);
  Dl_info info{};
  if (dladdr(code, &info) != 0)  // the caller turns it into a line of the source
    text << " [code " << std::hex << "0x"
         << static_cast<const char*>(code) - static_cast<const char*>(info.dli_fbase) - 1 << "]";
  fail(text.str());
}

void check(const void* p, size_t size, bool write, bool must_align, const void* code) {
  if (Block::current == nullptr || Block::current->running == nullptr) return;
  Memory& memory = Memory::instance();
  const auto address = reinterpret_cast<uintptr_t>(p);
  const char* does = write ? "writes" : "reads";
  if (!memory.is_inside(p)) {
    if (address < 4096) refuse(does, size, "through a null pointer", p, code);
    return;  // the thread's own stack, constants, arguments
  }
  Region* region = memory.find(p);
  if (region == nullptr ||
      address + size > reinterpret_cast<uintptr_t>(region->begin) + region->size)
    refuse(does, size, "out of bounds",
           region == nullptr ? p : static_cast<const char*>(p) + size - 1, code);
  if (must_align && address % size != 0) refuse(does, size, "misaligned", p, code);
  uint8_t* state = region->state.data() + (address - reinterpret_cast<uintptr_t>(region->begin));
  for (size_t i = 0; i < size; ++i) {
    if (state[i] == kInFlight) refuse(does, size, "of a cp.async that was not waited for", p, code);
    if (!write && state[i] == kUnwritten) refuse(does, size, "that nobody has written", p, code);
    if (write) state[i] = kWritten;
  }
  if (write && !region->writable) refuse(does, size, "of a read-only buffer", p, code);
  Traffic& t = traffic();
  if (region->space == Space::global) {
    (write ? t.global_written : t.global_read) += size;
  } else {
    (write ? t.shared_written : t.shared_read) += size;
  }
}

}  // namespace
#endif

}  // namespace simt

#if FCTFAST_SIMT_MODE == 0
// ---- what g++ calls ----------------------------------------------------------------------------

#define FCT_CODE __builtin_return_address(0)
#define FCT_ACCESS(size)                                                                      \
  void __tsan_read##size(void* p) { simt::check(p, size, false, true, FCT_CODE); }            \
  void __tsan_write##size(void* p) { simt::check(p, size, true, true, FCT_CODE); }            \
  void __tsan_unaligned_read##size(void* p) { simt::check(p, size, false, false, FCT_CODE); } \
  void __tsan_unaligned_write##size(void* p) { simt::check(p, size, true, false, FCT_CODE); }

#define FCT_ATOMIC(bits, type)                                                                \
  type __tsan_atomic##bits##_load(const volatile type* p, int order) {                        \
    simt::check(const_cast<type*>(p), sizeof(type), false, true, FCT_CODE);                   \
    return __atomic_load_n(p, order);                                                         \
  }                                                                                           \
  void __tsan_atomic##bits##_store(volatile type* p, type v, int order) {                     \
    simt::check(const_cast<type*>(p), sizeof(type), true, true, FCT_CODE);                    \
    __atomic_store_n(p, v, order);                                                            \
  }                                                                                           \
  type __tsan_atomic##bits##_exchange(volatile type* p, type v, int order) {                  \
    ++simt::traffic().atomics;                                                                \
    simt::check(const_cast<type*>(p), sizeof(type), false, true, FCT_CODE);                   \
    return __atomic_exchange_n(p, v, order);                                                  \
  }                                                                                           \
  type __tsan_atomic##bits##_fetch_add(volatile type* p, type v, int order) {                 \
    ++simt::traffic().atomics;                                                                \
    simt::check(const_cast<type*>(p), sizeof(type), false, true, FCT_CODE);                   \
    return __atomic_fetch_add(p, v, order);                                                   \
  }                                                                                           \
  int __tsan_atomic##bits##_compare_exchange_strong(volatile type* p, type* expected, type v, \
                                                    int order, int) {                         \
    ++simt::traffic().atomics;                                                                \
    simt::check(const_cast<type*>(p), sizeof(type), false, true, FCT_CODE);                   \
    return __atomic_compare_exchange_n(p, expected, v, false, order, __ATOMIC_RELAXED);       \
  }

extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_read_range(void* p, unsigned long size) {
  simt::check(p, size, false, false, FCT_CODE);
}
void __tsan_write_range(void* p, unsigned long size) {
  simt::check(p, size, true, false, FCT_CODE);
}
void __tsan_read1(void* p) { simt::check(p, 1, false, false, FCT_CODE); }
void __tsan_write1(void* p) { simt::check(p, 1, true, false, FCT_CODE); }
FCT_ACCESS(2)
FCT_ACCESS(4)
FCT_ACCESS(8)
FCT_ACCESS(16)
FCT_ATOMIC(32, uint32_t)
FCT_ATOMIC(64, uint64_t)
}
#endif
