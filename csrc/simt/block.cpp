// The threads of a block: fibers, turns, barriers, and what a failure says of each of them.
#include <algorithm>
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

}  // namespace

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
  arrive(&launch_started);  // after all that the threads will read of the launch was written
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

}  // namespace simt
