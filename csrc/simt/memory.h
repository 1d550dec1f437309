// The memory a kernel may touch: device buffers and a block's shared memory, each of exactly the
// size asked for, with gaps between them that nobody may touch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace simt {

enum class Space { global, shared };

// What is known of each byte of a region.
enum ByteState : uint8_t { kUnwritten, kWritten, kInFlight };

struct Region {
  unsigned char* begin;
  size_t size;
  Space space;
  std::string name;
  bool writable;
  std::vector<uint8_t> state;  // one a byte; kept in the plain mode alone

  bool holds(const void* p) const {
    return p >= static_cast<void*>(begin) && p < static_cast<void*>(begin + size);
  }
};

// A range of addresses from which regions are cut one behind the other. What lies between them is
// poisoned for AddressSanitizer and known to access.cpp.
class Memory {
 public:
  static Memory& instance();

  // `fill`: every byte of a region that nobody wrote. It reads as NaN in every float type.
  Region& add(Space space, std::string name, size_t size, bool writable);
  void remove_shared();  // at the end of a block
  void clear();          // everything

  bool is_inside(const void* p) const {
    return p >= static_cast<void*>(begin_) && p < static_cast<void*>(begin_ + kCapacity);
  }
  Region* find(const void* p);          // the region that holds p, or null
  std::string describe(const void* p);  // "24 bytes behind shared memory `partial` (128 bytes)"
  const std::vector<Region>& regions() const { return regions_; }

  static constexpr uint8_t kPoison = 0xFF;

 private:
  Memory();
  static constexpr size_t kCapacity = size_t{1} << 36;
  static constexpr size_t kGap = size_t{1} << 16;

  unsigned char* begin_;
  size_t used_ = 0, used_by_buffers_ = 0;
  std::vector<Region> regions_;
  size_t last_ = 0;  // where find() found the last one
};

}  // namespace simt
