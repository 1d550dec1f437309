#include "executor.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <sstream>

#include "access.h"
#include "sanitizers.h"
#include "threads.h"

namespace simt {
namespace {

char launch_started, launch_ended;  // ThreadSanitizer's objects

std::string ranks(const std::vector<unsigned>& list) {  // "0-31, 40"
  std::ostringstream out;
  for (size_t i = 0; i < list.size();) {
    size_t j = i;
    while (j + 1 < list.size() && list[j + 1] == list[j] + 1) ++j;
    out << (i ? ", " : "") << list[i];
    if (j > i) out << "-" << list[j];
    i = j + 1;
  }
  return out.str();
}

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

std::string Thread::text() const {
  switch (state) {
    case State::ready: return this == Block::current->running ? "running" : "ready";
    case State::exited: return "exited";
    case State::at_barrier: return "at __syncthreads, " + site.text();
    case State::in_warp:
      return std::string("in ") + collective.name + ", mask " + hex(collective.mask) + ", " +
             collective.site.text();
  }
  return "";
}

// ---- a block -----------------------------------------------------------------------------------

Block* Block::current = nullptr;

Fibers& Fibers::instance() {
  static auto* const made = new Fibers;  // never destroyed: sanitizers may be gone before it
  return *made;
}

Block::Block(Dim3 grid_size, Dim3 block_size, size_t shared_bytes,
             const std::function<void()>& body)
    : grid(grid_size),
      size(block_size),
      body_(body),
      shared_bytes_(shared_bytes),
      fibers_(Fibers::instance()),
      random_(settings().seed) {
  threads.resize(size.x * size.y * size.z);
  order_.resize(threads.size());
  for (unsigned r = 0; r < threads.size(); ++r) {
    threads[r].rank = order_[r] = r;
    threads[r].index = Dim3(r % size.x, r / size.x % size.y, r / (size.x * size.y));
  }
  if (settings().order == Order::reverse) std::reverse(order_.begin(), order_.end());
  current = this;
}

Block::~Block() {
  give_up();
  leave(&launch_ended);  // blocks are ordered with each other here and not before
  current = nullptr;
}

// A fiber runs one thread to its end, then waits for another. In the plain mode that is the next
// thread of the block; ThreadSanitizer needs one fiber a thread, since it knows threads by them.
void Block::worker(Fiber& fiber) {
  for (;;) {
    Block& block = *current;
    Thread& mine = *block.running;
    leave(&launch_started);
    block.body_();
    if (!mine.open_group.empty() || !mine.groups.empty())
      block.fail("exits with a cp.async that it never waited for");
    arrive(&launch_ended);
    mine.state = State::exited;
    mine.fiber = nullptr;
    {
      const Unseen unseen;
      block.fibers_.idle.push_back(&fiber);
    }
    fiber.suspend();
  }
}

Fiber* Block::take_fiber(unsigned rank) {
  if (kThread) {
    // Turned from block to block: were thread 0 always the same fiber, two blocks that write one
    // address through their first threads would look like one thread that writes it twice.
    const size_t count = threads.size() + 1;
    auto& all = fibers_.all;
    while (all.size() < count) all.push_back(std::make_unique<Fiber>(&Block::worker));
    return all[(rank + blocks_run_) % count].get();
  }
  if (fibers_.idle.empty()) {
    fibers_.all.push_back(std::make_unique<Fiber>(&Block::worker));
    return fibers_.all.back().get();
  }
  Fiber* fiber = fibers_.idle.back();
  fibers_.idle.pop_back();
  return fiber;
}

void Block::resume(Thread& t) {
  running = &t;
  if (t.fiber == nullptr) t.fiber = take_fiber(t.rank);
  t.fiber->resume();
  running = nullptr;
}

void Block::suspend() {
  running->fiber->suspend();
  if (!given_up_) return;
  arrive(&launch_ended);
  running->fiber->suspend();
}

// After a failure: the threads that stand in the middle of the kernel never go on, but what they
// did comes before what follows the launch.
void Block::give_up() {
  given_up_ = true;
  if (!kThread) return;
  for (Thread& t : threads)
    if (t.fiber != nullptr) resume(t);
}

void Block::fail(const std::string& what) {
  const Dim3& t = running->index;
  std::ostringstream text;
  text << "thread (" << t.x << ", " << t.y << ", " << t.z << ") of block (" << index.x << ", "
       << index.y << ", " << index.z << ") " << what;
  if (kPlain) text << call_stack();
  error_ = text.str() + states();
  suspend();  // for good: the scheduler ends the launch
  __builtin_unreachable();
}

std::string Block::states() const {
  std::vector<std::pair<std::string, std::vector<unsigned>>> groups;
  for (const Thread& t : threads) {
    const std::string text = t.text();
    auto known =
        std::find_if(groups.begin(), groups.end(), [&](auto& g) { return g.first == text; });
    if (known == groups.end()) known = groups.insert(groups.end(), {text, {}});
    known->second.push_back(t.rank);
  }
  std::string out;
  for (const auto& [text, list] : groups) out += "\n  threads " + ranks(list) + ": " + text;
  return out;
}

void Block::release_barrier() {
  const Thread* first = nullptr;
  const auto stuck = [&](const std::string& why) {
    std::ostringstream text;
    text << "block (" << index.x << ", " << index.y << ", " << index.z << "): " << why << states();
    throw Error(text.str());
  };
  for (const Thread& t : threads)
    if (t.state == State::at_barrier && first == nullptr) first = &t;
  for (const Thread& t : threads) {
    if (t.state == State::in_warp)
      stuck(first ? "some threads wait at a barrier while others wait in their warp"
                  : "a warp waits for lanes that do not come");
    if (t.state == State::exited && first) stuck("a thread exited before a barrier others wait at");
  }
  for (const Thread& t : threads)
    if (!(t.site == first->site)) stuck("threads wait at different barriers");
  ++generation_;
  for (Thread& t : threads) t.state = State::ready;
}

void Block::schedule() {
  size_t exited = 0;
  while (exited < threads.size()) {
    if (settings().order == Order::random) std::shuffle(order_.begin(), order_.end(), random_);
    bool progress = false;
    for (const unsigned rank : order_) {
      Thread& t = threads[rank];
      if (t.state != State::ready) continue;
      progress = true;
      resume(t);
      if (!error_.empty()) throw Error(error_);
      exited += t.state == State::exited;
    }
    if (!progress) release_barrier();
  }
}

void Block::run(Dim3 which) {
  index = which;
  arrays_.clear();
  shared_used_ = shared_bytes_;
  static_used_ = 0;
  dynamic = Memory::instance().add(Space::shared, "dynamic", shared_bytes_, true).begin;
  for (Thread& t : threads) {
    t.state = State::ready;
    t.warp_syncs.clear();
  }
  if (kThread || barriers_ == nullptr) kept_.push_back(std::make_unique<Barriers>());
  barriers_ = kept_.back().get();
  schedule();
  Memory::instance().remove_shared();
  ++blocks_run_;
}

unsigned char* Block::static_array(const void* key, const char* name, size_t bytes) {
  for (const StaticArray& a : arrays_)
    if (a.key == key) return a.begin;
  static_used_ += bytes;
  shared_used_ += bytes;
  if (static_used_ > settings().static_shared_limit)
    fail("declares " + std::to_string(static_used_) + " bytes of static shared memory, more than " +
         std::to_string(settings().static_shared_limit));
  if (shared_used_ > settings().shared_limit)
    fail("needs " + std::to_string(shared_used_) + " bytes of shared memory, more than " +
         std::to_string(settings().shared_limit));
  arrays_.push_back({key, Memory::instance().add(Space::shared, name, bytes, true).begin});
  return arrays_.back().begin;
}

void* Block::warp_barrier(Thread& t, uint32_t mask) {
  return &barriers_->warps[{t.rank / kWarpSize, mask, t.warp_syncs[mask]++ % 2}];
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
    arrive(&launch_started);  // after what the threads will read of it was written
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
