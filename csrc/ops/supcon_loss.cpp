#include <algorithm>
#include <cmath>
#include <numeric>

#include "cpu_kernels.h"
#include "supcon_loss.h"

namespace fctfast {
namespace {

using torch::stable::parallel_for;

constexpr double kLog2E = 1.4426950408889634;

// Tiles of 128 rows keep H in the second-level cache; fewer rows need smaller ones to share out.
int64_t tile_rows(int64_t columns) { return columns <= 1024 ? 64 : 128; }

int64_t round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// Rows by group, and how many rows each row's group has beside it.
struct Groups {
  std::vector<int64_t> order, begin;
  std::vector<int32_t> number;
  std::vector<int64_t> positives;
  int64_t anchors = 0;  // rows with a positive

  Groups(const Tensor& group, int64_t padded) {
    const int64_t n = group.numel();
    const Tensor dense = torch::stable::contiguous(group);
    const int64_t* value = static_cast<const int64_t*>(dense.const_data_ptr());
    order.resize(static_cast<size_t>(n));
    std::iota(order.begin(), order.end(), int64_t{0});
    std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
      return value[a] != value[b] ? value[a] < value[b] : a < b;
    });
    number.assign(static_cast<size_t>(padded), -1);
    positives.assign(static_cast<size_t>(n), 0);
    for (int64_t first = 0; first < n;) {
      int64_t last = first;
      while (last < n && value[at(last)] == value[at(first)]) ++last;
      for (int64_t k = first; k < last; ++k) {
        number[static_cast<size_t>(at(k))] = static_cast<int32_t>(begin.size());
        positives[static_cast<size_t>(at(k))] = last - first - 1;
      }
      if (last - first > 1) anchors += last - first;
      begin.push_back(first);
      first = last;
    }
    begin.push_back(n);
  }

  int64_t at(int64_t place) const { return order[static_cast<size_t>(place)]; }
};

// Everything that forward and backward share: arguments, unit rows, groups.
struct Problem {
  SupConArgs args{};
  Groups groups;
  std::vector<Tensor> buffers;
  double temperature;

  Problem(const Tensor& z, const Tensor& group, int64_t first, int64_t rows, double t)
      : groups(checked(z, group, first, rows), round_up(z.size(0), kSupConPanel)), temperature(t) {
    const Tensor dense = torch::stable::contiguous(z);
    args.kind = kind_of(z.scalar_type(), "supcon_loss");
    args.z = dense.const_data_ptr();  // read here alone
    args.columns = z.size(0);
    args.width = z.size(1);
    args.first = first;
    args.rows = rows;
    args.padded_columns = round_up(args.columns, kSupConPanel);
    args.padded_width = round_up(args.width, kSupConPanel);
    args.tile = tile_rows(args.rows);
    args.scale = static_cast<float>(kLog2E / t);
    args.wide = supcon_is_wide(t, args.columns);
    args.panels = uninitialised(args.padded_columns * args.padded_width);
    args.stripes = uninitialised(args.padded_columns * args.padded_width);
    args.inverse_norm = doubles(args.padded_columns);
    args.order = groups.order.data();
    args.group_begin = groups.begin.data();
    args.group = groups.number.data();
    parallel_for(0, args.padded_columns / kSupConPanel, 1, [&](int64_t begin, int64_t end) {
      cpu_kernels().supcon_unit_rows(args, begin, end);
    });
    args.z = nullptr;
  }

  float* uninitialised(int64_t count) {
    buffers.push_back(torch::stable::empty({count}, ScalarType::Float));
    prefer_huge_pages(buffers.back());
    return static_cast<float*>(buffers.back().mutable_data_ptr());
  }
  float* floats(int64_t count, float value = 0) {
    float* data = uninitialised(count);
    std::fill(data, data + count, value);
    return data;
  }
  double* doubles(int64_t count) {
    buffers.push_back(torch::stable::empty({count}, ScalarType::Double));
    double* data = static_cast<double*>(buffers.back().mutable_data_ptr());
    std::fill(data, data + count, 0.0);
    return data;
  }

  // NaN if a row holds one or an infinity, else 0: the kernels' exponentials may drop it.
  double nan_of_rows() const {
    return std::accumulate(args.inverse_norm, args.inverse_norm + args.columns, 0.0,
                           [](double sum, double x) { return std::isnan(x) ? x : sum; });
  }

  // Runs a kernel over all pairs of tiles: round by round where every row is this process's own,
  // else each own tile against all others.
  template <typename Kernel>
  void walk(Kernel kernel) {
    const auto run = [&](int64_t round, int64_t items) {
      args.round = round;
      parallel_for(0, items, 1, [&](int64_t begin, int64_t end) { kernel(args, begin, end); });
    };
    if (args.rows < args.columns) {
      const int64_t from = first_computed_row(args);
      return run(kEveryColumn, round_up(args.first + args.rows - from, args.tile) / args.tile);
    }
    const int64_t tiles = round_up(args.padded_columns, args.tile) / args.tile;
    run(kOwnTile, tiles);
    const int64_t rounds = tiles % 2 == 0 ? tiles - 1 : tiles;
    for (int64_t round = 0; round < rounds && tiles > 1; ++round) run(round, tiles / 2);
  }

 private:
  static const Tensor& checked(const Tensor& z, const Tensor& group, int64_t first, int64_t rows) {
    check_supcon(z, group, first, rows);
    return group;
  }
};

std::tuple<Tensor, Tensor> supcon_loss(const Tensor& z, const Tensor& group, int64_t first,
                                       int64_t given_rows, double temperature,
                                       double base_temperature, bool) {
  const int64_t rows = own_rows(z, first, given_rows);
  Problem problem(z, group, first, rows, temperature);
  Tensor loss = torch::stable::empty({}, ScalarType::Float);
  Tensor statistics = torch::stable::empty({rows, 2}, ScalarType::Double);
  double* out = static_cast<double*>(statistics.mutable_data_ptr());
  double total = 0, anchors = 0;
  SupConArgs& args = problem.args;
  args.positives = problem.doubles(args.padded_columns);
  args.denominator = problem.doubles(args.padded_columns);
  const int64_t groups = static_cast<int64_t>(problem.groups.begin.size()) - 1;
  // A group costs as much as it has rows: 10 classes of many are not for one thread.
  const int64_t per_group = args.padded_width * (args.columns / std::max<int64_t>(groups, 1) + 1);
  parallel_for(0, groups, grain(per_group), [&](int64_t begin, int64_t end) {
    cpu_kernels().supcon_positives(args, begin, end);
  });
  if (args.wide) {
    args.largest = problem.floats(args.padded_columns, -2.0f);
    problem.walk(cpu_kernels().supcon_largest);
  }
  problem.walk(cpu_kernels().supcon_denominator);
  for (int64_t own = 0; own < rows; ++own) {
    const int64_t row = first + own;
    const double positives =
        static_cast<double>(problem.groups.positives[static_cast<size_t>(row)]);
    const double shift = args.wide ? args.largest[row] / temperature : 0.0;
    // Alone a row has no denominator, and no positive either.
    const double log_denominator = shift + std::log(args.denominator[row]);
    out[2 * own] = log_denominator;
    out[2 * own + 1] = positives;
    if (positives == 0) continue;
    total += log_denominator - args.positives[row] / (positives * temperature);
    ++anchors;
  }
  total += problem.nan_of_rows();
  *static_cast<float*>(loss.mutable_data_ptr()) =
      static_cast<float>(temperature / base_temperature * total / std::max(anchors, 1.0));
  return {loss, statistics};
}

Tensor supcon_loss_backward(const Tensor& grad, const Tensor& z, const Tensor& group,
                            const Tensor& statistics, int64_t first, int64_t given_rows,
                            double temperature, double base_temperature, bool) {
  const int64_t rows = own_rows(z, first, given_rows);
  check_supcon_grad(grad, statistics, z);
  Problem problem(z, group, first, rows, temperature);
  Tensor out = torch::stable::empty({rows, z.size(1)}, z.scalar_type());
  SupConArgs& args = problem.args;
  const Tensor dense = torch::stable::contiguous(statistics);
  const double* given = static_cast<const double*>(dense.const_data_ptr());
  float* pull = problem.floats(args.padded_columns);
  float* push = problem.floats(args.padded_columns);
  float* shift = problem.floats(args.padded_columns);
  for (int64_t row = 0; row < args.columns; ++row) {
    // A row without a positive pulls nobody, but exponents are taken relative to it all the same.
    const double log_denominator = given[2 * row], positives = given[2 * row + 1];
    // Beside similarities near it a row's shift loses nothing in s - shift; what rounding took from
    // the shift itself is given back by the pull. (Rounded exponents are off by 1e-5 at t = .01.)
    if (args.wide) shift[row] = static_cast<float>(log_denominator * temperature);
    if (positives == 0) continue;
    // 1 / t of both and the t of the loss's scale cancel.
    pull[row] = static_cast<float>(
        std::exp((args.wide ? shift[row] / temperature : 0.0) - log_denominator));
    push[row] = static_cast<float>(1 / positives);
  }
  args.pull = pull;
  args.push = push;
  args.shift = shift;
  const int64_t from = first_computed_row(args);
  args.sums = problem.floats(round_up(first + rows - from, kSupConPanel) * args.padded_width);
  const double anchors = static_cast<double>(std::max<int64_t>(problem.groups.anchors, 1));
  args.factor = static_cast<double>(*static_cast<const float*>(grad.const_data_ptr())) /
                    (base_temperature * anchors) +
                problem.nan_of_rows();
  args.grad_z = out.mutable_data_ptr();
  if (problem.groups.anchors > 0) problem.walk(cpu_kernels().supcon_sums);
  parallel_for(0, rows, grain(args.padded_width), [&](int64_t begin, int64_t end) {
    cpu_kernels().supcon_grad_rows(args, begin, end);
  });
  return out;
}

STABLE_TORCH_LIBRARY_FRAGMENT(fctfast, m) {
  m.def(
      "supcon_loss(Tensor z, Tensor group, int first, int rows, float temperature, "
      "float base_temperature, bool tf32) -> (Tensor loss, Tensor statistics)");
  m.def(
      "supcon_loss_backward(Tensor grad, Tensor z, Tensor group, Tensor statistics, int first, "
      "int rows, float temperature, float base_temperature, bool tf32) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(fctfast, CPU, m) {
  m.impl("supcon_loss", TORCH_BOX(&supcon_loss));
  m.impl("supcon_loss_backward", TORCH_BOX(&supcon_loss_backward));
}

}  // namespace
}  // namespace fctfast
