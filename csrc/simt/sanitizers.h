// The sanitizers' own interfaces, declared here because a file may call them without being
// instrumented. FCTFAST_SIMT_MODE: 0 plain (access.cpp checks every access), 1 AddressSanitizer,
// 2 ThreadSanitizer.
#pragma once

#include <cstddef>

#ifndef FCTFAST_SIMT_MODE
#error "FCTFAST_SIMT_MODE must be 0 (plain), 1 (address) or 2 (thread)"
#endif

namespace simt {
constexpr bool kPlain = FCTFAST_SIMT_MODE == 0;
constexpr bool kAddress = FCTFAST_SIMT_MODE == 1;
constexpr bool kThread = FCTFAST_SIMT_MODE == 2;
}  // namespace simt

#if FCTFAST_SIMT_MODE == 1
extern "C" {
void __sanitizer_start_switch_fiber(void** fake_stack, const void* bottom, size_t size);
void __sanitizer_finish_switch_fiber(void* fake_stack, const void** bottom, size_t* size);
void __asan_poison_memory_region(const volatile void* start, size_t size);
void __asan_unpoison_memory_region(const volatile void* start, size_t size);
}
#elif FCTFAST_SIMT_MODE == 2
extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_acquire(void* address);
void __tsan_release(void* address);
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
}
#endif

namespace simt {
// While it lives, ThreadSanitizer does not see what the executor does on a kernel's thread: malloc,
// memset and the like are known to it even in code that is not instrumented.
struct Unseen {
#if FCTFAST_SIMT_MODE == 2
  Unseen() { AnnotateIgnoreReadsBegin(__FILE__, __LINE__); }
  ~Unseen() { AnnotateIgnoreReadsEnd(__FILE__, __LINE__); }
#else
  Unseen() {}
#endif
};
}  // namespace simt
