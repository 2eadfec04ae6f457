// Launches a grid, whose blocks run one after another.
#pragma once
#include <link.h>

#include <thread>

#include "scheduler.h"

namespace simt {

// __shared__ variables are thread-local ones. Static ones could not be found, as g++ ignores section attributes in
// templates; but all thread-local variables of a library are one range of memory, of which each operating-system thread
// has a copy. A launch has a thread, and with it a copy, to itself.
inline void find_shared_memory() {
  static thread_local volatile std::byte marker;
  marker = std::byte{1};  // the range is there after a first use
  machine.shared = nullptr;
  const auto search = [](dl_phdr_info* library, size_t, void* marker) {
    for (int i = 0; i < library->dlpi_phnum; ++i) {
      const auto begin = reinterpret_cast<uintptr_t>(library->dlpi_tls_data);
      const size_t size = library->dlpi_phdr[i].p_memsz;
      const bool is_here = reinterpret_cast<uintptr_t>(marker) - begin < size;
      if (library->dlpi_phdr[i].p_type != PT_TLS || begin == 0 || !is_here) continue;
      machine.shared = static_cast<std::byte*>(library->dlpi_tls_data);
      machine.shared_size = size;
    }
    return 0;
  };
  dl_iterate_phdr(search, const_cast<std::byte*>(&marker));
  if (machine.shared == nullptr) throw Error("the thread-local variables are not found");
}

inline void check_size(dim3 grid, dim3 block, const Where& where) {
  const auto check = [&where](const char* what, uint64_t size, uint64_t most) {
    if (size >= 1 && size <= most) return;
    throw Error(text(describe(where), ": launch with ", what, " = ", size, "; must be 1 to ", most));
  };
  check("gridDim.x", grid.x, 0x7FFFFFFF);
  check("gridDim.y", grid.y, 65535);
  check("gridDim.z", grid.z, 65535);
  check("blockDim.x", block.x, 1024);
  check("blockDim.y", block.y, 1024);
  check("blockDim.z", block.z, 64);
  check("blockDim.x*y*z", uint64_t{block.x} * block.y * block.z, 1024);
}

inline void run_grid(dim3 grid, dim3 block) {
  gridDim = grid;
  blockDim = block;
  machine.counters = {};
  machine.order = requested_order();
  machine.random.seed(machine.order);
  if (checks.on) history.begin_launch();
  find_shared_memory();
  const unsigned size = block.x * block.y * block.z;
  machine.threads = std::vector<Thread>(size);  // after an error this drops the threads that still waited
  for (unsigned i = 0; i < size; ++i) {
    machine.threads[i].rank = i;
    machine.threads[i].index = {i % block.x, i / block.x % block.y, i / block.x / block.y};
  }
  machine.lanes = take_turns(unsigned{warpSize});
  machine.warps = take_turns((size + warpSize - 1) / warpSize);
  for (uint64_t i : take_turns(uint64_t{grid.x} * grid.y * grid.z)) {
    const uint64_t row = i / grid.x;
    blockIdx = {static_cast<unsigned>(i % grid.x), static_cast<unsigned>(row % grid.y),
                static_cast<unsigned>(row / grid.y)};
    if (checks.on) history.begin_block(i, size);
    run_block();
    ++machine.counters.blocks;
  }
}

// Evaluates arguments once, as a launch on a GPU does.
template <typename... Parameters, typename... Arguments>
auto with_arguments(void (*kernel)(Parameters...), Arguments... arguments) {
  machine.kernel_address = reinterpret_cast<const void*>(kernel);
  static_assert((0 + ... + sizeof(Parameters)) <= 4096, "more than 4 KB of kernel parameters");
  return [=] { kernel(arguments...); };
}

// Calls `kernel` once per thread.
template <typename Kernel>
void launch(dim3 grid, dim3 block, const Kernel& kernel, Where where = Where::current()) {
  check_size(grid, block, where);
  machine.kernel = [&kernel] { kernel(); };
  std::exception_ptr error;
  std::thread worker([&] {
    try {
      run_grid(grid, block);
    } catch (...) {
      error = std::current_exception();
    }
  });
  worker.join();
  machine.current = nullptr;
  if (error) std::rethrow_exception(error);
}

}  // namespace simt

// kernel<<<grid, block>>>(arguments...); a kernel with commas in its name goes in parentheses.
#define SIMT_LAUNCH(kernel, grid, block, ...) \
  simt::launch(grid, block, simt::with_arguments(kernel __VA_OPT__(, ) __VA_ARGS__))
