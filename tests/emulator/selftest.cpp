// Runs the kernels of selftest_kernels.cuh on NumPy arrays.
#include "bindings.h"
#include "selftest_checks.h"
#include "selftest_kernels.cuh"

namespace py = pybind11;
using simt::Array;

namespace {

unsigned ceil_div(py::ssize_t a, unsigned b) { return (static_cast<unsigned>(a) + b - 1) / b; }

template <typename T>
void bind_types(py::module_& module) {
  module.def("block_sums", [](Array<T> in, Array<T> out) {
    SIMT_LAUNCH((block_sums<256, T>), static_cast<unsigned>(out.size()), 256, in.pointer(), out.pointer());
  });
  module.def("transpose", [](Array<T> in, Array<T> out) {
    const int height = static_cast<int>(in.shape(0)), width = static_cast<int>(in.shape(1));
    const dim3 grid(ceil_div(width, 32), ceil_div(height, 32));
    SIMT_LAUNCH(transpose<T>, grid, dim3(32, 8), in.pointer(), out.pointer(), height, width);
  });
  module.def("uninitialised_shared", [](Array<T> out) { SIMT_LAUNCH(uninitialised_shared<T>, 2, 64, out.pointer()); });
}

}  // namespace

PYBIND11_MODULE(emulator_selftest, module) {
  simt::bind_emulator(module);
  bind_types<float>(module);
  bind_types<double>(module);
  module.def("last_block_sum", [](Array<float> in, Array<float> partials, Array<unsigned> finished, Array<float> out) {
    const Sum sum{in.pointer(), partials.pointer(), finished.pointer(), out.pointer(), static_cast<int>(in.size())};
    SIMT_LAUNCH(last_block_sum<64>, static_cast<unsigned>(partials.size()), 64, sum);
  });
  module.def("segmented_scan", [](Array<int> in, Array<int> out, int width) {
    SIMT_LAUNCH(segmented_scan, 1, 32, in.pointer(), out.pointer(), width);
  });
  module.def("shuffles",
             [](int amount, int width, Array<int> out) { SIMT_LAUNCH(shuffles, 1, 32, amount, width, out.pointer()); });
  module.def("votes", [](Array<int> in, Array<unsigned> out) {
    SIMT_LAUNCH(votes, 1, static_cast<unsigned>(in.size()), in.pointer(), out.pointer());
  });
  module.def("copy", [](Array<float> in, Array<float> out) {
    SIMT_LAUNCH(copy, ceil_div(in.size(), 4 * 64), 64, in.pointer(), out.pointer(), static_cast<int>(in.size()));
  });
  module.def("tally", [](Array<int> in, int limit, Array<int> totals, Array<float> sum) {
    SIMT_LAUNCH(tally, 1, static_cast<unsigned>(in.size()), in.pointer(), limit, totals.pointer(), sum.pointer());
  });
  module.def("indices", [](std::array<unsigned, 3> grid, std::array<unsigned, 3> block, Array<unsigned> out) {
    SIMT_LAUNCH(indices, dim3(grid[0], grid[1], grid[2]), dim3(block[0], block[1], block[2]), out.pointer());
  });
  // Whether memory has values before the launch, and whether the ticket is an input.
  module.def("run_checked", [](const std::string& kernel, unsigned blocks, unsigned threads, Array<float> memory,
                               Array<unsigned> ticket, bool is_written, bool is_input) {
    using simt::Contents;
    simt::watch(memory.data(), memory.nbytes(), "memory", is_written ? Contents::values : Contents::nothing);
    simt::watch(ticket.data(), ticket.nbytes(), "the ticket", is_input ? Contents::input : Contents::values);
    run_checked(kernel, blocks, threads, memory.pointer(), ticket.pointer());
  });

  // Faulty kernels that take one array: (threads, array).
#define BIND_FAULTY(kernel) \
  module.def(#kernel, [](unsigned threads, Array<float> out) { SIMT_LAUNCH(kernel, 1, threads, out.pointer()); })
  BIND_FAULTY(different_barriers);
  BIND_FAULTY(barrier_after_exit);
  BIND_FAULTY(barrier_against_shuffle);
  BIND_FAULTY(shuffle_after_exit);
  BIND_FAULTY(absent_lanes);
  BIND_FAULTY(outside_own_mask);
  BIND_FAULTY(reads_outside_mask);
  BIND_FAULTY(different_shuffles);
  BIND_FAULTY(width_of_three);
  BIND_FAULTY(circle_of_warps);
  BIND_FAULTY(missing_barrier);
  BIND_FAULTY(missing_second_barrier);
  BIND_FAULTY(missing_syncwarp);
  BIND_FAULTY(reads_too_far);
  BIND_FAULTY(writes_too_far);
  BIND_FAULTY(adds_too_far);
  BIND_FAULTY(misaligned);
  BIND_FAULTY(overflows_shared);
  BIND_FAULTY(overflows_stack);
  module.def("left_by_other_block", [](Array<int> first, Array<float> out) {
    SIMT_LAUNCH(left_by_other_block, static_cast<unsigned>(out.size()), 1, first.pointer(), out.pointer());
  });
  module.def("overflows_heap", [](unsigned threads, Array<float> out) {
    SIMT_LAUNCH(overflows_heap, 1, threads, out.pointer(), static_cast<int>(out.size()));
  });
}
