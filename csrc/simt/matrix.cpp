#include "matrix.h"

#include <algorithm>
#include <cstring>

#include "../kernels/scalar_types.h"
#include "warp.h"

namespace simt {
namespace {

constexpr uint32_t kAll = 0xFFFFFFFFu;

struct Operands {
  MmaType type;
  const uint32_t* a;
  const uint32_t* b;
  float* d;
};

float half_of(MmaType type, uint32_t word, int which) {
  const auto bits = static_cast<uint16_t>(word >> (16 * which));
  return type == MmaType::f16 ? fctfast::widen(fctfast::Half{bits})
                              : fctfast::widen(fctfast::BFloat16{bits});
}

// A number that was converted has no other bits, and is used as it is.
float tf32_of(uint32_t word, uint32_t where) {
  if ((word & 0x1FFFu) == 0) return fctfast::bits_to_float(word);
  uint32_t noise = (where + static_cast<uint32_t>(settings().seed)) * 2654435761u;
  noise ^= noise >> 15;
  return fctfast::bits_to_float((word & ~0x1FFFu) | (noise & 0x1FFFu));
}

// Products are exact in float32 (11 x 11 bits), but for those of tf32's noise.
float accumulate(float start, float (&product)[16], int count) {
  switch (settings().mma) {
    case MmaOrder::ascending:
      for (int k = 0; k < count; ++k) start += product[k];
      return start;
    case MmaOrder::descending:
      for (int k = count - 1; k >= 0; --k) start += product[k];
      return start;
    case MmaOrder::pairwise:
      for (int half = count / 2; half > 0; half /= 2)
        for (int k = 0; k < half; ++k) product[k] += product[k + half];
      return start + product[0];
  }
  return start;
}

struct Tiles {
  float a[16][16], b[16][8];
  int depth;
};

void gather(const Operands& lane, int number, Tiles& tiles) {
  const int group = number / 4, member = number % 4;
  if (lane.type == MmaType::tf32) {
    tiles.depth = 8;
    for (int r = 0; r < 4; ++r)
      tiles.a[group + 8 * (r & 1)][member + 4 * (r >> 1)] =
          tf32_of(lane.a[r], static_cast<uint32_t>(number * 8 + r));
    for (int r = 0; r < 2; ++r)
      tiles.b[member + 4 * r][group] =
          tf32_of(lane.b[r], static_cast<uint32_t>(number * 8 + 4 + r));
    return;
  }
  tiles.depth = 16;
  for (int i = 0; i < 2; ++i) {
    for (int r = 0; r < 4; ++r)
      tiles.a[group + 8 * (r & 1)][2 * member + i + 8 * (r >> 1)] =
          half_of(lane.type, lane.a[r], i);
    for (int r = 0; r < 2; ++r)
      tiles.b[2 * member + i + 8 * r][group] = half_of(lane.type, lane.b[r], i);
  }
}

void multiply(void* const (&payloads)[32], uint32_t) {
  Tiles tiles{};
  for (int lane = 0; lane < 32; ++lane)
    gather(*static_cast<Operands*>(payloads[lane]), lane, tiles);
  for (int lane = 0; lane < 32; ++lane) {
    float* d = static_cast<Operands*>(payloads[lane])->d;
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + 8 * (i >> 1), column = 2 * (lane % 4) + (i & 1);
      float product[16];
      for (int k = 0; k < tiles.depth; ++k) product[k] = tiles.a[row][k] * tiles.b[k][column];
      d[i] = accumulate(d[i], product, tiles.depth);
    }
  }
}

struct Rows {
  const uint32_t* row;
  uint32_t* out;
  bool transposed;
};

void distribute(void* const (&payloads)[32], uint32_t) {
  for (int lane = 0; lane < 32; ++lane) {
    const auto& to = *static_cast<Rows*>(payloads[lane]);
    for (int matrix = 0; matrix < 4; ++matrix) {
      uint16_t pair[2];
      for (int i = 0; i < 2; ++i) {
        int row = lane / 4, column = 2 * (lane % 4) + i;
        if (to.transposed) std::swap(row, column);
        uint16_t elements[8];
        std::memcpy(elements, static_cast<Rows*>(payloads[8 * matrix + row])->row, 16);
        pair[i] = elements[column];
      }
      std::memcpy(&to.out[matrix], pair, 4);
    }
  }
}

}  // namespace

void mma(MmaType type, float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site) {
  Operands mine{type, a, b, d};
  meet("mma.sync", kAll, site, &mine, &multiply);
}

void load_matrices(uint32_t (&out)[4], const uint32_t (&row)[4], bool transposed, Site site) {
  Rows mine{row, out, transposed};
  meet("ldmatrix.sync", kAll, site, &mine, &distribute);
}

}  // namespace simt
