#include "executor.h"

#include <cstring>
#include <numeric>
#include <sstream>

#include "sanitizers.h"
#include "threads.h"

namespace simt {
namespace {

void check_launch(Dim3 grid, Dim3 block, size_t shared) {
  const auto refuse = [](const std::string& what) { throw Error("launch: " + what); };
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  if (threads < 1 || threads > 1024)
    refuse("expected 1 to 1024 threads a block, got " + std::to_string(threads));
  if (block.z > 64) refuse("expected block.z of at most 64, got " + std::to_string(block.z));
  if (grid.x < 1 || grid.y < 1 || grid.z < 1) refuse("expected a grid of at least one block");
  if (grid.x > 0x7FFFFFFFu)
    refuse("expected grid.x of at most 2147483647, got " + std::to_string(grid.x));
  if (grid.y > 65535 || grid.z > 65535)
    refuse("expected grid.y and grid.z of at most 65535, got " + std::to_string(grid.y) + " and " +
           std::to_string(grid.z));
  if (shared > settings().shared_limit)
    refuse("expected at most " + std::to_string(settings().shared_limit) +
           " bytes of dynamic shared memory, got " + std::to_string(shared));
}

}  // namespace

std::string hex(uint32_t mask) {
  std::ostringstream out;
  out << "0x" << std::hex << mask;
  return out.str();
}

Settings& settings() {
  static Settings made;
  return made;
}

bool Site::operator==(const Site& o) const {
  return line == o.line && (file == o.file || std::strcmp(file, o.file) == 0);
}

std::string Site::text() const {
  const char* slash = std::strrchr(file, '/');
  return std::string(slash ? slash + 1 : file) + ":" + std::to_string(line);
}

void arrive([[maybe_unused]] void* object) {
#if FCTFAST_SIMT_MODE == 2
  __tsan_release(object);
#endif
}

void leave([[maybe_unused]] void* object) {
#if FCTFAST_SIMT_MODE == 2
  __tsan_acquire(object);
#endif
}

// ---- what kernels call -------------------------------------------------------------------------

Thread& self() { return *Block::current->running; }
const Dim3& thread_index() { return Block::current->running->index; }
const Dim3& block_index() { return Block::current->index; }
const Dim3& block_size() { return Block::current->size; }
const Dim3& grid_size() { return Block::current->grid; }
unsigned lane_index() { return Block::current->running->rank % kWarpSize; }
unsigned char* dynamic_shared() { return Block::current->dynamic; }

unsigned char* static_shared(const void* key, const char* name, size_t bytes) {
  const Unseen unseen;
  return Block::current->static_array(key, name, bytes);
}

void fail(const std::string& what) {
  const Unseen unseen;
  Block::current->fail(what);
}

void require_alignment(const void* p, size_t bytes) {
  if (reinterpret_cast<uintptr_t>(p) % bytes == 0) return;
  fail("accesses " + std::to_string(bytes) +
       " bytes at an address that is no multiple of them: " + Memory::instance().describe(p));
}

void require_shared(const char* name, const void* p, size_t bytes) {
  require_alignment(p, bytes);
  Region* region = Memory::instance().find(p);
  if (region == nullptr || region->space != Space::shared ||
      !region->holds(static_cast<const unsigned char*>(p) + bytes - 1))
    fail("calls " + std::string(name) + " on " + Memory::instance().describe(p) +
         ", where shared memory is expected");
}

void sync_threads(Site site) {
  Block& block = *Block::current;
  Thread& mine = *block.running;
  void* object = block.barrier();
  mine.state = State::at_barrier;
  mine.site = site;
  arrive(object);
  block.suspend();
  leave(object);
}

// The blocks in the setting's order; at random in steps that share no divisor with their number.
class BlockOrder {
 public:
  explicit BlockOrder(uint64_t count) : count_(count) {
    if (settings().order == Order::reverse) at_ = step_ = count - 1;
    if (settings().order != Order::random) return;
    std::mt19937_64 random(settings().seed);
    at_ = random() % count;
    do step_ = random() % count;
    while (std::gcd(step_, count) != 1);
  }
  uint64_t next() {
    const uint64_t now = at_;
    at_ = (at_ + step_) % count_;
    return now;
  }

 private:
  uint64_t count_, at_ = 0, step_ = 1;
};

void run(Dim3 grid, Dim3 block, size_t shared_bytes, const std::function<void()>& body) {
  if (Block::current != nullptr) throw Error("launch: a kernel cannot launch a kernel here");
  check_launch(grid, block, shared_bytes);
  // A launch that fails frees what its threads read, and none of them ends before that.
  const Unseen unseen;
  try {
    Block runner(grid, block, shared_bytes, body);
    const uint64_t layer = uint64_t{grid.x} * grid.y, count = layer * grid.z;
    BlockOrder order(count);
    for (uint64_t i = 0; i < count; ++i) {
      const uint64_t b = order.next();
      runner.run(Dim3(static_cast<unsigned>(b % grid.x), static_cast<unsigned>(b % layer / grid.x),
                      static_cast<unsigned>(b / layer)));
    }
  } catch (...) {
    Fibers& fibers = Fibers::instance();  // some of them stand in the middle of a kernel
    if (kThread)  // and ThreadSanitizer ends the process over one that is Unseen
      for (auto& fiber : fibers.all) fiber.release();
    fibers = {};
    Memory::instance().remove_shared();
    throw;
  }
}

}  // namespace simt
