#include "fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <stdexcept>

#include "sanitizers.h"

namespace simt {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kStack = kPlain ? size_t{128} << 10 : size_t{512} << 10;
// No synchronisation comes with a switch: only barriers order the threads of a block.
[[maybe_unused]] constexpr unsigned kNoSync = 1;

}  // namespace

Fiber::Fiber(void (*body)(Fiber&)) : body_(body) {
  stack_ = mmap(nullptr, kStack + kPage, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (stack_ == MAP_FAILED) throw std::runtime_error("simt: no memory for a fiber's stack");
  mprotect(stack_, kPage, PROT_NONE);  // a stack that overflows must not reach its neighbour
  getcontext(&own_);
  own_.uc_stack.ss_sp = static_cast<char*>(stack_) + kPage;
  own_.uc_stack.ss_size = kStack;
  const auto self = reinterpret_cast<uintptr_t>(this);
  makecontext(&own_, reinterpret_cast<void (*)()>(&Fiber::enter), 2,
              static_cast<unsigned>(self >> 32), static_cast<unsigned>(self));
#if FCTFAST_SIMT_MODE == 2
  identity_ = __tsan_create_fiber(0);
#endif
}

Fiber::~Fiber() {
#if FCTFAST_SIMT_MODE == 2
  __tsan_destroy_fiber(identity_);
#endif
  munmap(stack_, kStack + kPage);
}

void Fiber::enter(unsigned high, unsigned low) {
  auto* self = reinterpret_cast<Fiber*>((uintptr_t{high} << 32) | low);
#if FCTFAST_SIMT_MODE == 1
  __sanitizer_finish_switch_fiber(nullptr, &self->scheduler_stack_, &self->scheduler_stack_size_);
#endif
  self->body_(*self);
}

void Fiber::resume() {
#if FCTFAST_SIMT_MODE == 1
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, own_.uc_stack.ss_sp, own_.uc_stack.ss_size);
  swapcontext(&scheduler_, &own_);
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#elif FCTFAST_SIMT_MODE == 2
  scheduler_identity_ = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(identity_, kNoSync);
  swapcontext(&scheduler_, &own_);
#else
  swapcontext(&scheduler_, &own_);
#endif
}

void Fiber::suspend() {
#if FCTFAST_SIMT_MODE == 1
  __sanitizer_start_switch_fiber(&fake_stack_, scheduler_stack_, scheduler_stack_size_);
  swapcontext(&own_, &scheduler_);
  __sanitizer_finish_switch_fiber(fake_stack_, &scheduler_stack_, &scheduler_stack_size_);
#elif FCTFAST_SIMT_MODE == 2
  __tsan_switch_to_fiber(scheduler_identity_, kNoSync);
  swapcontext(&own_, &scheduler_);
#else
  swapcontext(&own_, &scheduler_);
#endif
}

}  // namespace simt
