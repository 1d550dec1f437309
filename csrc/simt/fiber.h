// A stack of its own for each thread of a block, switched by hand on one thread of the machine.
#pragma once

#include <ucontext.h>

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
  static void enter(unsigned high, unsigned low);

  void (*body_)(Fiber&);
  void* stack_;
  ucontext_t own_{}, scheduler_{};
  void* fake_stack_ = nullptr;  // AddressSanitizer's, while the fiber is suspended
  const void* scheduler_stack_ = nullptr;
  size_t scheduler_stack_size_ = 0;
  void* identity_ = nullptr;  // ThreadSanitizer's
  void* scheduler_identity_ = nullptr;
};

}  // namespace simt
