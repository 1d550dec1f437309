// A warp's collectives: lanes meet by mask, and what they exchange orders no memory.
#pragma once

#include <array>
#include <cstring>
#include <type_traits>

#include "executor.h"

namespace simt {

// Waits until every lane of `mask` has come with the same name, mask and site; the last one to
// come runs `finish` on all lanes' payloads (null for lanes outside the mask).
using Finish = void (*)(void* const (&payloads)[32], uint32_t mask);
void meet(const char* name, uint32_t mask, Site site, void* payload, Finish finish);
void sync_warp(uint32_t mask, Site site);

struct Exchange {
  uint64_t bits = 0;
  int source = 0;  // lane whose bits this lane takes
  uint64_t got = 0;
};
void exchange(const char* name, uint32_t mask, Site site, Exchange& mine);

template <typename T>
T shuffle(const char* name, uint32_t mask, T value, int source, Site site) {
  static_assert(std::is_trivially_copyable_v<T> && (sizeof(T) == 4 || sizeof(T) == 8),
                "shuffles move 4 or 8 bytes");
  Exchange mine;
  std::memcpy(&mine.bits, &value, sizeof value);
  mine.source = source;
  exchange(name, mask, site, mine);
  std::memcpy(&value, &mine.got, sizeof value);
  return value;
}

// The lane that each variant of a shuffle reads; itself where the result stays the lane's own.
int shuffle_from(int lane, int width);
int shuffle_up_from(unsigned delta, int width);
int shuffle_down_from(unsigned delta, int width);
int shuffle_xor_from(int lane_mask, int width);

uint32_t ballot(const char* name, uint32_t mask, bool vote, Site site);

}  // namespace simt
