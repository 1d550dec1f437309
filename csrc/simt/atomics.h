// CUDA's atomics, relaxed as there: they order nothing else.
#pragma once

#include <cstdint>
#include <cstring>

template <typename T>
T atomicAdd(T* p, T value) {
  return __atomic_fetch_add(p, value, __ATOMIC_RELAXED);
}

inline float atomicAdd(float* p, float value) {
  auto* bits = reinterpret_cast<uint32_t*>(p);
  uint32_t seen = __atomic_load_n(bits, __ATOMIC_RELAXED), wanted = 0;
  float old = 0;
  do {
    std::memcpy(&old, &seen, sizeof old);
    const float sum = old + value;
    std::memcpy(&wanted, &sum, sizeof wanted);
  } while (
      !__atomic_compare_exchange_n(bits, &seen, wanted, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return old;
}

template <typename T>
T atomicExch(T* p, T value) {
  return __atomic_exchange_n(p, value, __ATOMIC_RELAXED);
}

template <typename T>
T atomicCAS(T* p, T compare, T value) {
  __atomic_compare_exchange_n(p, &compare, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return compare;
}

template <typename T, typename Better>
T atomic_pick(T* p, T value, Better better) {
  T seen = __atomic_load_n(p, __ATOMIC_RELAXED);
  while (better(value, seen) &&
         !__atomic_compare_exchange_n(p, &seen, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return seen;
}

template <typename T>
T atomicMax(T* p, T value) {
  return atomic_pick(p, value, [](T a, T b) { return a > b; });
}

template <typename T>
T atomicMin(T* p, T value) {
  return atomic_pick(p, value, [](T a, T b) { return a < b; });
}
