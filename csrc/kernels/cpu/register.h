// What one register of the instruction set this is compiled for holds.
#pragma once

namespace fctfast::cpu {

#if defined(__AVX512F__)
constexpr int kRegisterBytes = 64;
#elif defined(__AVX2__)
constexpr int kRegisterBytes = 32;
#else
constexpr int kRegisterBytes = 16;
#endif

template <typename T>
struct Register {
  static constexpr int kCount = kRegisterBytes / static_cast<int>(sizeof(T));
  typedef T Vector __attribute__((vector_size(kRegisterBytes)));
};

}  // namespace fctfast::cpu
