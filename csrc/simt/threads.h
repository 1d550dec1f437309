// The executor's own records of a block's threads; kernels do not see this file.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "executor.h"
#include "fiber.h"
#include "memory.h"

namespace simt {

constexpr unsigned kWarpSize = 32;

enum class State { ready, at_barrier, in_warp, exited };

// A warp's collective that a lane waits in.
struct Collective {
  const char* name = nullptr;
  uint32_t mask = 0;
  Site site;
  void* payload = nullptr;  // on the lane's own stack
};

struct Copy {  // a cp.async on its way
  unsigned char* to;
  const unsigned char* from;
  size_t bytes, from_bytes;
};

struct Thread {
  Dim3 index;
  unsigned rank = 0;
  State state = State::ready;
  Site site;  // of the barrier it waits at
  Collective collective;
  Fiber* fiber = nullptr;
  std::vector<Copy> open_group;
  std::vector<std::vector<Copy>> groups;    // committed and not yet waited for, oldest first
  std::map<uint32_t, unsigned> warp_syncs;  // how often it called __syncwarp with each mask
  std::string text() const;
};

// Fibers that wait for a thread to run. They outlive launches: a stack costs more than a block.
struct Fibers {
  std::vector<std::unique_ptr<Fiber>> all;
  std::vector<Fiber*> idle;
  static Fibers& instance();
};

class Block {
 public:
  Block(Dim3 grid, Dim3 block, size_t shared_bytes, const std::function<void()>& body);
  ~Block();
  void run(Dim3 index);

  static Block* current;
  Thread* running = nullptr;
  Dim3 grid, size, index;
  std::vector<Thread> threads;
  unsigned char* dynamic = nullptr;

  unsigned char* static_array(const void* key, const char* name, size_t bytes);
  void suspend();                                   // the running thread waits
  [[noreturn]] void fail(const std::string& what);  // on a fiber
  std::string states() const;
  // ThreadSanitizer's objects of this block's barriers. By turns, since a fast thread may reach the
  // next barrier before a slow one has left this one; the one after the next it cannot reach.
  void* barrier() { return &barriers_->all[generation_ % 2]; }
  void* warp_barrier(Thread& t, uint32_t mask);

 private:
  static void worker(Fiber& fiber);
  Fiber* take_fiber(unsigned rank);
  void schedule();
  void resume(Thread& t);
  void release_barrier();
  void give_up();

  const std::function<void()>& body_;
  size_t shared_bytes_;
  size_t shared_used_ = 0, static_used_ = 0;
  Fibers& fibers_;
  std::vector<unsigned> order_;
  std::mt19937_64 random_;
  unsigned blocks_run_ = 0;
  struct StaticArray {
    const void* key;
    unsigned char* begin;
  };
  std::vector<StaticArray> arrays_;
  struct Barriers {
    char all[2];
    std::map<std::array<uint32_t, 3>, char> warps;  // by warp, mask and turn
  };
  std::vector<std::unique_ptr<Barriers>> kept_;  // blocks are not ordered: none shares an object
  Barriers* barriers_ = nullptr;
  unsigned generation_ = 0;
  std::string error_;
  bool given_up_ = false;
};

std::string hex(uint32_t mask);

// ThreadSanitizer's view of a barrier; nothing elsewhere.
void arrive(void* object);
void leave(void* object);

}  // namespace simt
