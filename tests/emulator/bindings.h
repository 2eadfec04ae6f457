// The emulator's controls for Python, to be added to each module of emulated kernels.
#pragma once
#include <cuda_runtime.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

namespace simt {

// A parameter that takes contiguous arrays of T only: converting another one would copy it, and results with it.
template <typename T>
struct Array : pybind11::array_t<T, pybind11::array::c_style> {
  using pybind11::array_t<T, pybind11::array::c_style>::array_t;
  T* pointer() { return this->mutable_data(); }
};

inline pybind11::dict as_dict(const Traffic& traffic) {
  pybind11::dict accesses;
  for (size_t i = 0; i < traffic.accesses.size(); ++i) {
    if (traffic.accesses[i] != 0) accesses[pybind11::int_(1 << i)] = traffic.accesses[i];
  }
  pybind11::dict result;
  result["bytes"] = traffic.bytes;
  result["accesses"] = accesses;
  return result;
}

inline void bind_emulator(pybind11::module_& module) {
  pybind11::register_local_exception<Error>(module, "Error", PyExc_RuntimeError);
  module.def("set_order", &set_order, "Order of threads and blocks: 0 ascending, 1 descending, others random.");
  module.def(
      "counters",
      [] {
        pybind11::dict result;
        result["loads"] = as_dict(counters().loads);
        result["stores"] = as_dict(counters().stores);
        return result;
      },
      "Global loads and stores of the last launch: bytes, and number of accesses by their width in bytes.");
  module.def(
      "set_checks",
      [](bool on, bool partly_written) {
        checks.on = on;
        checks.partly_written = partly_written;
      },
      "Whether accesses are looked at one by one, and whether shared memory may be read where nobody has written it.",
      pybind11::arg("on"), pybind11::arg("partly_written") = false);
  module.def("instrumented", [] { return checks.instrumented; }, "Whether checks see plain accesses, too.");
  module.def("blocks", [] { return counters().blocks; }, "Blocks of the last launch.");
  module.def(
      "watch", [](const pybind11::array& array) { watch(array.data(), static_cast<size_t>(array.nbytes())); },
      "From now on, accesses outside this (contiguous) array and others watched are errors.");
  module.def("unwatch_all", &unwatch_all);
}

}  // namespace simt
