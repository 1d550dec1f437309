// Compiled with contraction, unlike the rest: the products here promise no bits across machines.
#include "supcon_loss.h"

#include <algorithm>

#include "register_tile.h"

namespace fctfast::cpu {
namespace {

constexpr int64_t kMaxTile = 128;

// Tile numbers of pair `index` of a round, the circle method: with an even number of players the
// last one stays and the others turn; with an odd one it is absent, and its partner waits.
struct Pair {
  int64_t row, column;
};
inline int64_t tiles_of(const SupConArgs& a) { return (a.padded_columns + a.tile - 1) / a.tile; }
inline Pair pair_of(int64_t tiles, int64_t round, int64_t index) {
  const int64_t turning = tiles - (tiles % 2 == 0 ? 1 : 0);
  if (tiles % 2 == 0 && index == 0) return {round, tiles - 1};
  const int64_t k = tiles % 2 == 0 ? index : index + 1;
  const int64_t p = (round + k) % turning, q = (round - k + turning) % turning;
  return {std::min(p, q), std::max(p, q)};
}

// Rows or columns of a tile.
struct Span {
  int64_t begin, end;
};
inline Span span_of(const SupConArgs& a, int64_t tile) {
  return {tile * a.tile, std::min((tile + 1) * a.tile, a.padded_columns)};
}

// Similarities of kRows rows and kColumns columns.
inline void similarities(const SupConArgs& a, int64_t row, int64_t column,
                         V (&s)[kRows][kVectors]) {
  for (auto& r : s)
    for (V& v : r) v = V{};
  const float* rows = a.panels + row / kPanel * a.padded_width * kPanel + row % kPanel;
  const float* columns = a.panels + column / kPanel * a.padded_width * kPanel + column % kPanel;
  multiply<1>(rows, kPanel, columns, a.padded_width, s);
}

// Lanes that are no pair: a row with itself, and rows beyond the last.
inline I is_pair(const SupConArgs& a, int64_t row, int64_t column) {
  I number;
  for (int i = 0; i < kLanes; ++i) number[i] = static_cast<int32_t>(column) + i;
  if (row >= a.columns) return I{};
  return (number != static_cast<int32_t>(row)) & (number < static_cast<int32_t>(a.columns));
}

// Whether any of kRows x kColumns could be no pair.
inline bool at_edge(const SupConArgs& a, int64_t row, int64_t column) {
  const bool meets_itself = row < column + kColumns && column < row + kRows;
  return meets_itself || row + kRows > a.columns || column + kColumns > a.columns;
}

// visit(rows, columns, both) for each item; only with `both` do the columns' sums count, too.
template <typename Visit>
inline void each_pair(const SupConArgs& a, int64_t begin, int64_t end, const Visit& visit) {
  const int64_t tiles = tiles_of(a);
  for (int64_t index = begin; index < end; ++index) {
    if (a.round >= 0) {
      const Pair pair = pair_of(tiles, a.round, index);
      visit(span_of(a, pair.row), span_of(a, pair.column), true);
    } else if (a.round == kOwnTile) {
      visit(span_of(a, index), span_of(a, index), false);
    } else {
      const int64_t row = first_computed_row(a) + index * a.tile;
      const int64_t last = (a.first + a.rows + kPanel - 1) / kPanel * kPanel;
      for (int64_t tile = 0; tile < tiles; ++tile)
        visit(Span{row, std::min(row + a.tile, last)}, span_of(a, tile), false);
    }
  }
}

// What a row's largest similarity is made of.
struct Largest {
  static constexpr float kStart = -2.0f;  // below any cosine
  const SupConArgs& a;
  template <bool kBoth>
  void pair(V s, int64_t, int64_t, V& of_row, V& of_column) const {
    of_row = of_column = s;
  }
  static V join(V x, V y) { return x > y ? x : y; }
  void keep(int64_t row, float found) const { a.largest[row] = std::max(a.largest[row], found); }
};

// What a row's denominator is made of.
template <bool kWide>
struct Denominator {
  static constexpr float kStart = 0.0f;
  const SupConArgs& a;
  template <bool kBoth>
  void pair(V s, int64_t row, int64_t column, V& of_row, V& of_column) const {
    if constexpr (kWide) {
      of_row = exp2_below(a.scale * (s - a.largest[row]));
      if constexpr (kBoth) of_column = exp2_below(a.scale * (s - load(a.largest + column)));
    } else {
      of_row = of_column = exp2(a.scale * s);
    }
  }
  static V join(V x, V y) { return x + y; }
  void keep(int64_t row, float found) const { a.denominator[row] += found; }
};

template <typename Part>
inline float over_lanes(V v) {
  float lane[kLanes];
  store(lane, v);
  for (int half = kLanes / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i)
      lane[i] = Part::join(broadcast(lane[i]), broadcast(lane[i + half]))[0];
  return lane[0];
}

// One block of registers, joined to its rows and, with kBoth, to its columns.
template <bool kEdge, bool kBoth, typename Part>
inline void reduce_block(const Part& part, int64_t row, int64_t column, V* of_rows,
                         V (&of_columns)[kVectors]) {
  V s[kRows][kVectors];
  similarities(part.a, row, column, s);
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) {
      V by_row, by_column = {};
      part.template pair<kBoth>(s[r][v], row + r, column + v * kLanes, by_row, by_column);
      if constexpr (kEdge) {
        const I keep = is_pair(part.a, row + r, column + v * kLanes);
        by_row = keep ? by_row : broadcast(Part::kStart);
        by_column = keep ? by_column : broadcast(Part::kStart);
      }
      of_rows[r] = Part::join(of_rows[r], by_row);
      if constexpr (kBoth) of_columns[v] = Part::join(of_columns[v], by_column);
    }
}

template <bool kBoth, typename Part>
inline void reduce_tiles(const Part& part, Span rows, Span columns) {
  V of_rows[kMaxTile];
  std::fill(of_rows, of_rows + kMaxTile, broadcast(Part::kStart));
  for (int64_t column = columns.begin; column < columns.end; column += kColumns) {
    V of_columns[kVectors];
    std::fill(of_columns, of_columns + kVectors, broadcast(Part::kStart));
    for (int64_t row = rows.begin; row < rows.end; row += kRows) {
      V* const here = of_rows + (row - rows.begin);
      if (at_edge(part.a, row, column)) {
        reduce_block<true, kBoth>(part, row, column, here, of_columns);
      } else {
        reduce_block<false, kBoth>(part, row, column, here, of_columns);
      }
    }
    for (int c = 0; kBoth && c < kColumns; ++c)
      part.keep(column + c, of_columns[c / kLanes][c % kLanes]);
  }
  for (int64_t row = rows.begin; row < rows.end; ++row)
    part.keep(row, over_lanes<Part>(of_rows[row - rows.begin]));
}

template <typename Part>
inline void reduce(const Part& part, int64_t begin, int64_t end) {
  each_pair(part.a, begin, end, [&](Span rows, Span columns, bool both) {
    both ? reduce_tiles<true>(part, rows, columns) : reduce_tiles<false>(part, rows, columns);
  });
}

// H of one block of registers, into a row-major tile.
template <bool kWide, bool kEdge>
inline void pull_block(const SupConArgs& a, int64_t row, int64_t column, float* h) {
  V s[kRows][kVectors];
  similarities(a, row, column, s);
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) {
      const int64_t i = row + r, j = column + v * kLanes;
      V made;
      if constexpr (kWide) {
        made = a.pull[i] * exp2_below(a.scale * (s[r][v] - a.shift[i])) +
               load(a.pull + j) * exp2_below(a.scale * (s[r][v] - load(a.shift + j)));
      } else {
        made = exp2(a.scale * s[r][v]) * (a.pull[i] + load(a.pull + j));
      }
      const I alike = load(a.group + j) == a.group[i];
      made -= where(alike, a.push[i] + load(a.push + j));
      if constexpr (kEdge) made = where(is_pair(a, i, j), made);
      store(h + r * kMaxTile + v * kLanes, made);
    }
}

// sums[row ...] += sum over k of h[...] * unit row (first + k), kRows rows at a time.
template <int64_t kRowStep>
inline void add_products(const SupConArgs& a, const float* h, int64_t step, Span rows,
                         Span others) {
  for (int64_t d = 0; d < a.padded_width; d += kColumns) {
    const float* stripe =
        a.stripes + (d / kPanel * a.padded_columns + others.begin) * kPanel + d % kPanel;
    for (int64_t row = rows.begin; row < rows.end; row += kRows) {
      float* const out = a.sums + (row - first_computed_row(a)) * a.padded_width + d;
      // From zero: what a tile adds is summed by itself first, which loses less.
      V acc[kRows][kVectors] = {};
      multiply<kRowStep>(h + (row - rows.begin) * kRowStep, step, stripe, others.end - others.begin,
                         acc);
      for (int r = 0; r < kRows; ++r)
        for (int v = 0; v < kVectors; ++v) {
          float* const p = out + r * a.padded_width + v * kLanes;
          store(p, load(p) + acc[r][v]);
        }
    }
  }
}

template <bool kWide>
inline void pull_tiles(const SupConArgs& a, int64_t begin, int64_t end) {
  each_pair(a, begin, end, [&](Span rows, Span columns, bool both) {
    alignas(64) float h[kMaxTile * kMaxTile];
    for (int64_t column = columns.begin; column < columns.end; column += kColumns)
      for (int64_t row = rows.begin; row < rows.end; row += kRows) {
        float* const here = h + (row - rows.begin) * kMaxTile + (column - columns.begin);
        if (at_edge(a, row, column)) {
          pull_block<kWide, true>(a, row, column, here);
        } else {
          pull_block<kWide, false>(a, row, column, here);
        }
      }
    add_products<kMaxTile>(a, h, 1, rows, columns);
    if (both) add_products<1>(a, h, kMaxTile, columns, rows);
  });
}

}  // namespace

void supcon_largest(const SupConArgs& a, int64_t begin, int64_t end) {
  reduce(Largest{a}, begin, end);
}

void supcon_denominator(const SupConArgs& a, int64_t begin, int64_t end) {
  if (a.wide) return reduce(Denominator<true>{a}, begin, end);
  reduce(Denominator<false>{a}, begin, end);
}

void supcon_sums(const SupConArgs& a, int64_t begin, int64_t end) {
  if (a.wide) return pull_tiles<true>(a, begin, end);
  pull_tiles<false>(a, begin, end);
}

}  // namespace fctfast::cpu
