#include "async_copy.h"

#include <cstring>

#include "access.h"
#include "sanitizers.h"
#include "threads.h"

namespace simt {

void copy_async(void* shared, const void* global, size_t bytes, size_t from_bytes) {
  require_shared("cp.async", shared, bytes);
  require_alignment(global, bytes);
  if (from_bytes > bytes) fail("calls cp.async with a source longer than its target");
  // The hardware may write from here on: who still reads there must be seen to race with it.
  if (!kPlain) spoil(static_cast<unsigned char*>(shared), bytes);
  const Unseen unseen;
  mark_in_flight(shared, bytes);
  self().open_group.push_back({static_cast<unsigned char*>(shared),
                               static_cast<const unsigned char*>(global), bytes, from_bytes});
}

void commit_copies() {
  const Unseen unseen;
  self().groups.push_back(std::move(self().open_group));
  self().open_group.clear();
}

void wait_for_copies(size_t groups_left) {
  auto& groups = self().groups;
  while (groups.size() > groups_left) {
    for (const Copy& copy : groups.front()) {  // seen as this thread's own accesses
      deliver(copy.to, copy.from, copy.from_bytes);
      clear(copy.to + copy.from_bytes, copy.bytes - copy.from_bytes);
    }
    const Unseen unseen;
    groups.erase(groups.begin());
  }
}

}  // namespace simt
