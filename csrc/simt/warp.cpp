#include "warp.h"

#include "sanitizers.h"
#include "threads.h"

namespace simt {
namespace {

bool same(const Collective& a, const Collective& b) {
  return std::strcmp(a.name, b.name) == 0 && a.mask == b.mask && a.site == b.site;
}

int segment(int width) {
  if (width < 1 || width > 32 || (width & (width - 1)) != 0)
    fail("shuffles with a width that is no power of two up to 32: " + std::to_string(width));
  return static_cast<int>(lane_index()) & ~(width - 1);
}

}  // namespace

void meet(const char* name, uint32_t mask, Site site, void* payload, Finish finish) {
  const Unseen unseen;
  Block& block = *Block::current;
  Thread& mine = *block.running;
  const unsigned lane = mine.rank % kWarpSize, first = mine.rank - lane;
  if ((mask >> lane & 1u) == 0)
    fail("calls " + std::string(name) + " with mask " + hex(mask) +
         ", which leaves out its own lane " + std::to_string(lane) + " (" + site.text() + ")");
  mine.collective = {name, mask, site, payload};
  mine.state = State::in_warp;
  bool complete = true;
  for (unsigned other = 0; other < kWarpSize; ++other) {
    if ((mask >> other & 1u) == 0) continue;
    if (first + other >= block.threads.size())
      fail("calls " + std::string(name) + " with mask " + hex(mask) + ", which names lane " +
           std::to_string(other) + ", but the block ends before it (" + site.text() + ")");
    const Thread& t = block.threads[first + other];
    if (t.state == State::exited)
      fail("calls " + std::string(name) + " with mask " + hex(mask) + ", but lane " +
           std::to_string(other) + " has exited (" + site.text() + ")");
    if (t.state != State::in_warp) {
      complete = false;
    } else if (!same(t.collective, mine.collective)) {
      fail("calls " + std::string(name) + ", mask " + hex(mask) + ", " + site.text() +
           ", while lane " + std::to_string(other) + " of its mask is in " + t.collective.name +
           ", mask " + hex(t.collective.mask) + ", " + t.collective.site.text());
    }
  }
  if (!complete) {
    block.suspend();
    return;
  }
  void* payloads[32] = {};
  for (unsigned other = 0; other < kWarpSize; ++other)
    if (mask >> other & 1u) {
      Thread& t = block.threads[first + other];
      payloads[other] = t.collective.payload;
      t.state = State::ready;
    }
  if (finish != nullptr) finish(payloads, mask);
}

void sync_warp(uint32_t mask, Site site) {
  void* object = nullptr;
  {
    const Unseen unseen;
    object = Block::current->warp_barrier(self(), mask);
  }
  arrive(object);
  meet("__syncwarp", mask, site, nullptr, nullptr);
  leave(object);
}

void exchange(const char* name, uint32_t mask, Site site, Exchange& mine) {
  meet(name, mask, site, &mine, [](void* const(&payloads)[32], uint32_t lanes) {
    for (unsigned lane = 0; lane < 32; ++lane) {
      if (payloads[lane] == nullptr) continue;
      auto& to = *static_cast<Exchange*>(payloads[lane]);
      if ((lanes >> to.source & 1u) == 0)
        fail("meets lane " + std::to_string(lane) + " in a shuffle that reads lane " +
             std::to_string(to.source) + ", which mask " + hex(lanes) + " leaves out (" +
             self().collective.site.text() + ")");
      to.got = static_cast<Exchange*>(payloads[to.source])->bits;
    }
  });
}

int shuffle_from(int lane, int width) { return segment(width) + (lane & (width - 1)); }

int shuffle_up_from(unsigned delta, int width) {
  const int lane = static_cast<int>(lane_index()), from = lane - static_cast<int>(delta);
  return from < segment(width) ? lane : from;
}

int shuffle_down_from(unsigned delta, int width) {
  const int lane = static_cast<int>(lane_index()), from = lane + static_cast<int>(delta);
  return from >= segment(width) + width ? lane : from;
}

int shuffle_xor_from(int lane_mask, int width) {
  const int lane = static_cast<int>(lane_index()), from = lane ^ lane_mask;
  return from >= segment(width) + width ? lane : from;
}

uint32_t ballot(const char* name, uint32_t mask, bool vote, Site site) {
  struct Vote {
    bool yes;
    uint32_t all;
  } mine{vote, 0};
  meet(name, mask, site, &mine, [](void* const(&payloads)[32], uint32_t) {
    uint32_t all = 0;
    for (unsigned lane = 0; lane < 32; ++lane)
      if (payloads[lane] != nullptr && static_cast<Vote*>(payloads[lane])->yes) all |= 1u << lane;
    for (void* payload : payloads)
      if (payload != nullptr) static_cast<Vote*>(payload)->all = all;
  });
  return mine.all;
}

}  // namespace simt
