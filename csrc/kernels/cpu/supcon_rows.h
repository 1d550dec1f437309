// What supcon_loss does row by row, before and after the tiles: unit rows in both layouts, the pull
// of the positives by the sums of their groups, the gradient through the normalisation.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels.h"

namespace fctfast::cpu {

// A unit row is kept in pieces of 32 numbers, one a stripe.
inline float* piece(const SupConArgs& a, int64_t row, int64_t d) {
  return a.stripes + (d / kSupConPanel * a.padded_columns + row) * kSupConPanel;
}

template <typename T>
inline void unit_row(const SupConArgs& a, int64_t row) {
  const T* z = static_cast<const T*>(a.z) + row * a.width;
  double squares[8] = {};
  for (int64_t d = 0; row < a.columns && d < a.width; ++d) {
    const double x = static_cast<double>(widen(z[d]));
    squares[d % 8] += x * x;
  }
  double total = 0;
  for (const double s : squares) total += s;
  // 0 * total: infinity has no direction, so it becomes the NaN that a NaN stays.
  const double inverse = total > 0 ? 1 / std::sqrt(total) + 0 * total : total;
  a.inverse_norm[row] = inverse;
  float* panel = a.panels + row / kSupConPanel * a.padded_width * kSupConPanel + row % kSupConPanel;
  for (int64_t d = 0; d < a.padded_width; ++d) {
    const bool inside = row < a.columns && d < a.width;
    const float x = inside ? static_cast<float>(static_cast<double>(widen(z[d])) * inverse) : 0.0f;
    panel[d * kSupConPanel] = x;
    piece(a, row, d)[d % kSupConPanel] = x;
  }
}

template <typename T>
inline void grad_row(const SupConArgs& a, int64_t own) {
  const int64_t row = a.first + own;
  const float* sums = a.sums + (row - first_computed_row(a)) * a.padded_width;
  double parts[8] = {};
  for (int64_t d = 0; d < a.padded_width; d += kSupConPanel) {
    const float* unit = piece(a, row, d);
    for (int64_t i = 0; i < kSupConPanel; ++i)
      parts[i % 8] += static_cast<double>(sums[d + i]) * static_cast<double>(unit[i]);
  }
  double along = 0;
  for (const double p : parts) along += p;
  const double factor = a.factor * a.inverse_norm[row];
  T* out = static_cast<T*>(a.grad_z) + own * a.width;
  for (int64_t d = 0; d < a.width; ++d) {
    const double across = sums[d] - along * piece(a, row, d)[d % kSupConPanel];
    out[d] = narrow<T>(static_cast<float>(factor * across));
  }
}

// Items: panels of 32 rows.
inline void supcon_unit_rows(const SupConArgs& a, int64_t begin, int64_t end) {
  for (int64_t row = begin * kSupConPanel; row < end * kSupConPanel; ++row) switch (a.kind) {
      case ScalarKind::f16: unit_row<Half>(a, row); break;
      case ScalarKind::bf16: unit_row<BFloat16>(a, row); break;
      default: unit_row<float>(a, row);
    }
}

// Items: groups.
inline void supcon_positives(const SupConArgs& a, int64_t begin, int64_t end) {
  std::vector<double> total(static_cast<size_t>(a.padded_width));
  for (int64_t group = begin; group < end; ++group) {
    const int64_t first = a.group_begin[group], last = a.group_begin[group + 1];
    std::fill(total.begin(), total.end(), 0.0);
    for (int64_t m = first; m < last; ++m)
      for (int64_t d = 0; d < a.padded_width; d += kSupConPanel) {
        const float* unit = piece(a, a.order[m], d);
        for (int64_t i = 0; i < kSupConPanel; ++i) total[static_cast<size_t>(d + i)] += unit[i];
      }
    for (int64_t m = first; m < last; ++m) {
      double parts[8] = {};
      for (int64_t d = 0; d < a.padded_width; d += kSupConPanel) {
        const float* unit = piece(a, a.order[m], d);
        for (int64_t i = 0; i < kSupConPanel; ++i) {
          const double x = unit[i];
          parts[i % 8] += x * (total[static_cast<size_t>(d + i)] - x);
        }
      }
      double sum = 0;
      for (const double p : parts) sum += p;
      a.positives[a.order[m]] = sum;
    }
  }
}

// Items: own rows.
inline void supcon_grad_rows(const SupConArgs& a, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) switch (a.kind) {
      case ScalarKind::f16: grad_row<Half>(a, row); break;
      case ScalarKind::bf16: grad_row<BFloat16>(a, row); break;
      default: grad_row<float>(a, row);
    }
}

}  // namespace fctfast::cpu
