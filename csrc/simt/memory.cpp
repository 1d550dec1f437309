#include "memory.h"

#include <sys/mman.h>

#include <cstring>
#include <stdexcept>

#include "sanitizers.h"

namespace simt {
namespace {

constexpr size_t kAlignment = 256;  // as cudaMalloc's

size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

void forbid([[maybe_unused]] void* p, [[maybe_unused]] size_t size) {
#if FCTFAST_SIMT_MODE == 1
  __asan_poison_memory_region(p, size);
#endif
}

void allow([[maybe_unused]] void* p, [[maybe_unused]] size_t size) {
#if FCTFAST_SIMT_MODE == 1
  __asan_unpoison_memory_region(p, size);
#endif
}

}  // namespace

Memory& Memory::instance() {
  static Memory memory;
  return memory;
}

Memory::Memory() {
  void* p = mmap(nullptr, kCapacity, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) throw std::runtime_error("simt: no address space for the arena");
  begin_ = static_cast<unsigned char*>(p);
  regions_.reserve(64);
}

Region& Memory::add(Space space, std::string name, size_t size, bool writable) {
  const Unseen unseen;
  const size_t start = round_up(used_ + kGap, kAlignment);
  const size_t end = round_up(start + size + kGap, kAlignment);
  if (end > kCapacity) throw std::runtime_error("simt: out of memory: " + name);
  forbid(begin_ + used_, start - used_);
  allow(begin_ + start, size);
  forbid(begin_ + start + size, end - start - size);
  std::memset(begin_ + start, kPoison, size);
  Region region{begin_ + start, size, space, std::move(name), writable, {}};
  if (kPlain) region.state.assign(size, kUnwritten);
  regions_.push_back(std::move(region));
  used_ = end - kGap;  // the gap behind serves as the next one's gap in front
  if (space == Space::global) used_by_buffers_ = used_;
  return regions_.back();
}

void Memory::remove_shared() {
  while (!regions_.empty() && regions_.back().space == Space::shared) regions_.pop_back();
  // ThreadSanitizer: blocks are not ordered, so each gets addresses that no other block had.
  if (!kThread) used_ = used_by_buffers_;
  last_ = 0;
}

void Memory::clear() {
  regions_.clear();
  allow(begin_, used_ + kGap);
  used_ = used_by_buffers_ = last_ = 0;
}

Region* Memory::find(const void* p) {
  if (last_ < regions_.size() && regions_[last_].holds(p)) return &regions_[last_];
  for (size_t i = 0; i < regions_.size(); ++i)
    if (regions_[i].holds(p)) {
      last_ = i;
      return &regions_[i];
    }
  return nullptr;
}

std::string Memory::describe(const void* p) {
  if (!is_inside(p)) return "memory that no buffer holds";
  const Region* nearest = nullptr;
  ptrdiff_t distance = 0;
  const auto* byte = static_cast<const unsigned char*>(p);
  for (const Region& r : regions_) {
    const ptrdiff_t offset = byte - r.begin;
    const auto size = static_cast<ptrdiff_t>(r.size);
    const ptrdiff_t off = offset < 0 ? -offset : offset >= size ? offset - size + 1 : 0;
    if (nearest == nullptr || off < distance) nearest = &r, distance = off;
  }
  if (nearest == nullptr) return "memory that no buffer holds";
  const std::string what = (nearest->space == Space::shared ? "shared memory `" : "buffer `") +
                           nearest->name + "` of " + std::to_string(nearest->size) + " bytes";
  if (distance == 0) return "byte " + std::to_string(byte - nearest->begin) + " of " + what;
  return std::to_string(distance) + (byte < nearest->begin ? " bytes before " : " bytes past ") +
         what;
}

}  // namespace simt
