// The executor for pytest: takes numpy arrays, copies them to device buffers of exactly their size,
// launches, and returns what the kernel wrote. 16-bit floats come and go as uint16.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <variant>

#include "../kernels/divider.h"
#include "executor.h"
#include "kernels/kernels.h"
#include "memory.h"
#include "module_buffers.h"
#include "samples/samples.h"
#include "sanitizers.h"

namespace simt {
namespace {

py::array_t<uint8_t> run_fct_views(const py::array& images, const py::array& coefficients,
                                   const std::vector<float>& mean, const std::vector<float>& std,
                                   bool nhwc, const std::string& kind, bool channels_last,
                                   bool originals) {
  Buffers buffers;
  fctfast::FctViewsArgs a{};
  set_views(a, buffers, images, mean, std, nhwc, kind, channels_last);
  set_coefficients(a, buffers, coefficients);
  a.originals = originals;
  const int64_t views = (a.draws + (originals ? 1 : 0)) * a.batch;
  a.out = buffers.output(
      "out", static_cast<size_t>(views * a.channels * a.height * a.width) * size_of(a.kind));
  fct_views(a);
  return Buffers::take(a.out);
}

py::array_t<uint8_t> run_contrastive_views(const py::array& images, const py::array& params,
                                           const std::vector<float>& mean,
                                           const std::vector<float>& std, int64_t height,
                                           int64_t width, bool nhwc, const std::string& kind,
                                           bool channels_last) {
  Buffers buffers;
  fctfast::ContrastiveViewsArgs a{};
  set_views(a, buffers, images, mean, std, nhwc, kind, channels_last);
  a.params = static_cast<const float*>(buffers.input("params", params));
  a.rows = params.shape(0);
  a.out_height = height;
  a.out_width = width;
  auto* greys = static_cast<int64_t*>(
      buffers.output("greys", static_cast<size_t>(contrastive_views_scratch(a)) * sizeof(int64_t)));
  a.out = buffers.output(
      "out", static_cast<size_t>(a.rows * a.channels * height * width) * size_of(a.kind));
  contrastive_views(a, greys);
  return Buffers::take(a.out);
}

// grad: null for the forward.
py::array_t<uint8_t> run_feature_distance(const py::array& features, int64_t draws, int64_t width,
                                          int64_t pixels, bool pixels_last, const std::string& kind,
                                          double scale, const py::object& grad) {
  Buffers buffers;
  fctfast::FeatureDistanceArgs a{};
  a.features = buffers.input("features", features);
  a.draws = draws;
  a.width = width;
  a.pixels = pixels;
  a.batch = features.size() / (width * pixels) / (1 + draws);
  a.pixels_last = pixels_last;
  a.kind = kind_of(kind);
  a.scale = scale;
  if (grad.is_none()) {
    void* partial = buffers.output(
        "partial", static_cast<size_t>(feature_distance_scratch(a)) * accumulator_size(a.kind));
    a.distance =
        buffers.output("distance", static_cast<size_t>(draws * a.batch) * accumulator_size(a.kind));
    feature_distance(a, partial, false);
    return Buffers::take(a.distance);
  }
  a.grad = buffers.input("grad", grad.cast<py::array>());
  a.grad_features = buffers.output("grad_features", static_cast<size_t>(features.nbytes()));
  feature_distance(a, nullptr, true);
  return Buffers::take(a.grad_features);
}

py::array_t<uint8_t> run_warp_distance(const py::array& x, const py::array& coefficients,
                                       const std::vector<double>& fill, const std::string& kind,
                                       double scale, const py::object& grad) {
  Buffers buffers;
  fctfast::WarpDistanceArgs a{};
  a.x = buffers.input("x", x);
  a.batch = x.shape(0);
  a.channels = x.shape(1);
  a.height = x.shape(2);
  a.width = x.shape(3);
  set_coefficients(a, buffers, coefficients);
  a.fill = fill.data();
  a.kind = kind_of(kind);
  a.scale = scale;
  const py::array_t<double> wide(a.channels, fill.data());
  const void* fills = a.kind == ScalarKind::f64 ? buffers.input("fills", wide)
                                                : buffers.input("fills", py::array_t<float>(wide));
  if (grad.is_none()) {
    void* partial = buffers.output(
        "partial", static_cast<size_t>(warp_distance_scratch(a)) * accumulator_size(a.kind));
    a.distance = buffers.output("distance",
                                static_cast<size_t>(a.draws * a.batch) * accumulator_size(a.kind));
    warp_distance(a, partial, fills, false);
    return Buffers::take(a.distance);
  }
  a.grad = buffers.input("grad", grad.cast<py::array>());
  a.grad_x = buffers.output("grad_x", static_cast<size_t>(x.nbytes()));
  warp_distance(a, nullptr, fills, true);
  return Buffers::take(a.grad_x);
}

// statistics and grad: null for the forward, which returns the loss and then the statistics.
py::array_t<uint8_t> run_supcon_loss(const py::array& z, const py::array& group, int64_t first,
                                     int64_t rows, double temperature, double base_temperature,
                                     const std::string& kind, bool tensor_cores, bool tf32,
                                     std::pair<int64_t, int64_t> triangle, int64_t panel_blocks,
                                     const py::object& statistics, const py::object& grad) {
  Buffers buffers;
  fctfast::SupConGpuArgs a{};
  a.z = buffers.input("z", z);
  a.kind = kind_of(kind);
  a.columns = z.shape(0);
  a.width = z.shape(1);
  a.first = first;
  a.rows = rows;
  a.group = static_cast<const int64_t*>(buffers.input("group", group));
  a.temperature = temperature;
  a.base_temperature = base_temperature;
  a.tensor_cores = tensor_cores;
  a.tf32 = tf32;
  a.shared_limit = static_cast<int64_t>(settings().shared_limit);
  a.shared_on_unit = a.shared_limit + 1024;
  a.triangle_from = triangle.first;
  a.triangle_block = triangle.second;
  a.panel_blocks = panel_blocks;
  const bool backward = !grad.is_none();
  const fctfast::SupConScratchBytes bytes = supcon_scratch_bytes(a, backward);
  const auto scratch = [&](const char* name, int64_t size) {
    return buffers.output(name, static_cast<size_t>(size));
  };
  const fctfast::SupConScratch made{
      scratch("rows", bytes.rows),     scratch("inverse_norm", bytes.inverse_norm),
      scratch("length", bytes.length), scratch("partials", bytes.partials),
      scratch("losses", bytes.losses), scratch("weight", bytes.weight),
      scratch("shift", bytes.shift),   scratch("factor", bytes.factor),
      scratch("pulls", bytes.pulls)};
  if (backward) {
    a.given = static_cast<const double*>(buffers.input("statistics", statistics.cast<py::array>()));
    a.grad = static_cast<const float*>(buffers.input("grad", grad.cast<py::array>()));
    a.grad_z = buffers.output("grad_z", static_cast<size_t>(rows * a.width) * size_of(a.kind));
    supcon_loss(a, made, true);
    return Buffers::take(a.grad_z);
  }
  a.loss = static_cast<float*>(buffers.output("loss", sizeof(float)));
  a.statistics = static_cast<double*>(
      buffers.output("statistics", static_cast<size_t>(2 * rows) * sizeof(double)));
  supcon_loss(a, made, false);
  const py::array_t<uint8_t> loss = Buffers::take(a.loss), rest = Buffers::take(a.statistics);
  py::array_t<uint8_t> out(loss.size() + rest.size());
  std::copy(loss.data(), loss.data() + loss.size(), out.mutable_data());
  std::copy(rest.data(), rest.data() + rest.size(), out.mutable_data() + loss.size());
  return out;
}

template <typename T>
T choose(const std::string& value, std::initializer_list<std::pair<const char*, T>> choices) {
  for (const auto& [name, choice] : choices)
    if (value == name) return choice;
  throw py::value_error("unknown setting: " + value);
}

void configure(const std::string& order, uint64_t seed, const std::string& mma,
               double fast_math_error, int64_t max_blocks, size_t static_shared_limit,
               size_t shared_limit) {
  Settings& s = settings();
  s.order = choose<Order>(
      order, {{"forward", Order::forward}, {"reverse", Order::reverse}, {"random", Order::random}});
  s.seed = seed;
  s.mma = choose<MmaOrder>(mma, {{"ascending", MmaOrder::ascending},
                                 {"descending", MmaOrder::descending},
                                 {"pairwise", MmaOrder::pairwise}});
  s.fast_math_error = fast_math_error;
  s.max_blocks = max_blocks;
  s.static_shared_limit = static_shared_limit;
  s.shared_limit = shared_limit;
}

py::dict take_traffic() {
  py::dict made;
  const Traffic t = traffic();
  made["global_read"] = t.global_read;
  made["global_written"] = t.global_written;
  made["shared_read"] = t.shared_read;
  made["shared_written"] = t.shared_written;
  made["atomics"] = t.atomics;
  traffic() = {};
  return made;
}

using Extent = std::variant<unsigned, std::array<unsigned, 3>>;

Dim3 dim3(const Extent& extent) {
  if (const auto* x = std::get_if<unsigned>(&extent)) return Dim3(*x);
  const auto& [x, y, z] = std::get<1>(extent);
  return Dim3(x, y, z);
}

// A kernel of samples/ on one input and one output buffer; a grid or block is x or (x, y, z).
py::array_t<uint8_t> run_sample_kernel(const std::string& name, const py::array& input,
                                       size_t out_bytes, const Extent& grid, const Extent& block,
                                       size_t shared) {
  Buffers buffers;
  const void* in = buffers.input("in", input);
  void* out = buffers.output("out", out_bytes);
  run_sample(name, in, out, dim3(grid), dim3(block), shared);
  return Buffers::take(out);
}

}  // namespace
}  // namespace simt

namespace py = pybind11;

PYBIND11_MODULE(FCTFAST_SIMT_MODULE, m) {
  using namespace pybind11::literals;
  py::register_exception<simt::Error>(m, "Error", PyExc_RuntimeError);
  m.attr("mode") = simt::kPlain ? "plain" : simt::kAddress ? "address" : "thread";
  m.def("configure", &simt::configure, "order"_a = "forward", "seed"_a = 0, "mma"_a = "ascending",
        "fast_math_error"_a = 0.0, "max_blocks"_a = INT64_MAX, "static_shared_limit"_a = 48 << 10,
        "shared_limit"_a = 227 << 10);
  m.def("take_traffic", &simt::take_traffic);
  m.def("divide",
        [](int64_t n, int64_t divisor) { return fctfast::make_divider(divisor).quotient(n); });
  m.def("fct_views", &simt::run_fct_views);
  m.def("contrastive_views", &simt::run_contrastive_views);
  m.def("feature_distance", &simt::run_feature_distance);
  m.def("warp_distance", &simt::run_warp_distance);
  m.def("supcon_loss", &simt::run_supcon_loss);
  m.def("sample", &simt::run_sample_kernel, "name"_a, "input"_a, "out_bytes"_a, "grid"_a = 1u,
        "block"_a = 32u, "shared"_a = 0);
}
