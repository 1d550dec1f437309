// A stack of its own for each thread of a block, switched by hand on one thread of the machine.
#pragma once

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#include <cstddef>

namespace simt {

class Fiber {
 public:
  explicit Fiber(void (*body)(Fiber&));  // runs at the first resume; must never return
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  void resume();   // called by the scheduler; comes back when the fiber suspends
  void suspend();  // called on the fiber; comes back at the next resume

 private:
  static void enter();
  void switch_to_own();
  void switch_to_scheduler();

  void (*body_)(Fiber&);
  char* stack_;
#if defined(__x86_64__)
  void* own_ = nullptr;  // stack pointers
  void* scheduler_ = nullptr;
#else
  ucontext_t own_{}, scheduler_{};
#endif
  void* fake_stack_ = nullptr;  // AddressSanitizer's, while the fiber is suspended
  const void* scheduler_stack_ = nullptr;
  size_t scheduler_stack_size_ = 0;
  void* identity_ = nullptr;  // ThreadSanitizer's
  void* scheduler_identity_ = nullptr;
};

}  // namespace simt
