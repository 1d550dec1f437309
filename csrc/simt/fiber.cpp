#include "fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <stdexcept>

#include "sanitizers.h"

#if defined(__x86_64__)
// swapcontext asks the kernel for the signal mask at every switch: 220 ns instead of 5.
extern "C" void simt_switch(void** save, void* to);
asm(R"(
.text
.globl simt_switch
.hidden simt_switch
.type simt_switch, @function
simt_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size simt_switch, .-simt_switch
)");
#endif

namespace simt {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kStack = kPlain ? size_t{128} << 10 : size_t{512} << 10;
// No synchronisation comes with a switch: only barriers order the threads of a block.
[[maybe_unused]] constexpr unsigned kNoSync = 1;

Fiber* entering = nullptr;  // whose first resume this is

}  // namespace

Fiber::Fiber(void (*body)(Fiber&)) : body_(body) {
  void* p = mmap(nullptr, kStack + kPage, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) throw std::runtime_error("simt: no memory for a fiber's stack");
  mprotect(p, kPage, PROT_NONE);  // a stack that overflows must not reach its neighbour
  stack_ = static_cast<char*>(p) + kPage;
#if defined(__x86_64__)
  // What simt_switch pops: six registers, then where to go; above it a return address that is
  // never used, so that the stack is aligned as after a call.
  auto** top = reinterpret_cast<void**>(stack_ + kStack) - 8;
  for (int i = 0; i < 8; ++i) top[i] = nullptr;
  top[6] = reinterpret_cast<void*>(&Fiber::enter);
  own_ = top;
#else
  getcontext(&own_);
  own_.uc_stack.ss_sp = stack_;
  own_.uc_stack.ss_size = kStack;
  makecontext(&own_, &Fiber::enter, 0);
#endif
#if FCTFAST_SIMT_MODE == 2
  identity_ = __tsan_create_fiber(0);
#endif
}

Fiber::~Fiber() {
#if FCTFAST_SIMT_MODE == 1
  __asan_unpoison_memory_region(stack_, kStack);  // frames of a kernel that was given up
#elif FCTFAST_SIMT_MODE == 2
  __tsan_destroy_fiber(identity_);
#endif
  munmap(stack_ - kPage, kStack + kPage);
}

void Fiber::enter() {
  Fiber& self = *entering;
#if FCTFAST_SIMT_MODE == 1
  __sanitizer_finish_switch_fiber(nullptr, &self.scheduler_stack_, &self.scheduler_stack_size_);
#endif
  self.body_(self);
}

void Fiber::switch_to_own() {
#if defined(__x86_64__)
  simt_switch(&scheduler_, own_);
#else
  swapcontext(&scheduler_, &own_);
#endif
}

void Fiber::switch_to_scheduler() {
#if defined(__x86_64__)
  simt_switch(&own_, scheduler_);
#else
  swapcontext(&own_, &scheduler_);
#endif
}

void Fiber::resume() {
  entering = this;
#if FCTFAST_SIMT_MODE == 1
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, stack_, kStack);
  switch_to_own();
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#elif FCTFAST_SIMT_MODE == 2
  scheduler_identity_ = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(identity_, kNoSync);
  switch_to_own();
#else
  switch_to_own();
#endif
}

void Fiber::suspend() {
#if FCTFAST_SIMT_MODE == 1
  __sanitizer_start_switch_fiber(&fake_stack_, scheduler_stack_, scheduler_stack_size_);
  switch_to_scheduler();
  __sanitizer_finish_switch_fiber(fake_stack_, &scheduler_stack_, &scheduler_stack_size_);
#elif FCTFAST_SIMT_MODE == 2
  __tsan_switch_to_fiber(scheduler_identity_, kNoSync);
  switch_to_scheduler();
#else
  switch_to_scheduler();
#endif
}

}  // namespace simt
