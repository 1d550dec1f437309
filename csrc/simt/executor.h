// Runs the threads of a block as fibers: launch, scheduling, barriers and what went wrong.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <tuple>

namespace simt {

struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
  Dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

// What a launch or a kernel did wrong; the text lists every thread's state where that helps.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

enum class Order { forward, reverse, random };
enum class MmaOrder { ascending, descending, pairwise };

// How the next launches run. A right kernel gives the same result under every setting, but for
// what mma orders and fast mathematics may change in the last bits.
struct Settings {
  Order order = Order::forward;
  uint64_t seed = 0;
  MmaOrder mma = MmaOrder::ascending;
  double fast_math_error = 0;             // -1 .. 1: share of the documented bound, for every call
  int64_t max_blocks = INT64_MAX;         // of a launch: lower, and kernels must walk in strides
  size_t static_shared_limit = 48 << 10;  // bytes, every architecture's
  size_t shared_limit = 227 << 10;        // bytes with the opt-in; sm_90's (sm_75: 64, sm_86: 99)
};
Settings& settings();

// Where in the source a barrier or a warp's collective is called.
struct Site {
  const char* file = nullptr;
  int line = 0;
  bool operator==(const Site& o) const;
  std::string text() const;
};

// The thread that runs now; only valid on a fiber.
struct Thread;
Thread& self();
const Dim3& thread_index();
const Dim3& block_index();
const Dim3& block_size();
const Dim3& grid_size();
unsigned lane_index();

// Ends the launch with an Error that says which thread failed; never returns.
[[noreturn]] void fail(const std::string& what);
void require_alignment(const void* p, size_t bytes);
void require_shared(const char* name, const void* p, size_t bytes);  // aligned as well

void sync_threads(Site site);
unsigned char* dynamic_shared();
// The block's array with this key (one for each declaration), made when its first thread arrives.
unsigned char* static_shared(const void* key, const char* name, size_t bytes);

void run(Dim3 grid, Dim3 block, size_t shared_bytes, const std::function<void()>& body);

template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), Dim3 grid, Dim3 block, size_t shared_bytes,
            const Arguments&... arguments) {
  run(grid, block, shared_bytes, [&] { kernel(arguments...); });
}

}  // namespace simt
