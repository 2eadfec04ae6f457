// The state of the emulated GPU: one launch, its threads, and the order of their turns.
#pragma once
#include <vector_types.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <source_location>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "fibers.h"

inline uint3 threadIdx{}, blockIdx{};
inline dim3 blockDim, gridDim;
inline constexpr int warpSize = 32;

namespace simt {

using Where = std::source_location;

struct Error : std::runtime_error {
  using runtime_error::runtime_error;
};

enum class State { ready, at_barrier, in_warp, exited };

struct Thread {
  uint3 index{};
  unsigned rank = 0;  // x fastest; 32 successive ranks are a warp
  State state = State::ready;
  std::unique_ptr<Fiber> fiber{};
  // The function that it waits in, and what it brings there:
  const char* function = "";
  Where where{};
  unsigned mask = 0;  // the lanes that must come
  uint64_t value = 0;
  int source = -1;  // the lane whose value it wants; -1 for a vote
  uint64_t result = 0;

  unsigned lane() const { return rank % warpSize; }
};

struct Traffic {
  uint64_t bytes = 0;
  std::array<uint64_t, 5> accesses{};  // of 1, 2, 4, 8 and 16 bytes
};

struct Counters {
  Traffic loads, stores;
  uint64_t blocks = 0;
};

// The launch that is running, or the last one.
struct Machine {
  Counters counters;
  std::function<void()> kernel;
  const void* kernel_address = nullptr;
  std::vector<Thread> threads;
  std::vector<unsigned> warps, lanes;  // in the order of their turns
  Thread* current = nullptr;
  std::exception_ptr error;  // of the current thread
  std::vector<std::unique_ptr<Fiber>> idle_fibers;
  std::optional<uint64_t> requested_order;
  uint64_t order = 0;
  std::mt19937_64 random;
  std::byte* shared = nullptr;  // all __shared__ variables
  size_t shared_size = 0;
};
inline Machine machine;

// --- Errors

template <typename... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream stream;
  (stream << ... << parts);
  return stream.str();
}

inline std::string describe(const uint3& index) { return text('(', index.x, ',', index.y, ',', index.z, ')'); }

inline std::string describe(const Where& where) {
  const std::string file = where.file_name();
  return text(file.substr(file.rfind('/') + 1), ':', where.line());
}

inline std::string describe(const Thread& thread) {
  const std::string who = text("thread ", describe(thread.index));
  if (thread.state == State::ready) return who;
  if (thread.state == State::exited) return text(who, ", which has exited");
  return text(who, ", which waits in ", thread.function, " at ", describe(thread.where));
}

template <typename... Parts>
[[noreturn]] void fail(const Where& where, const Parts&... parts) {
  throw Error(text(describe(where), ": ", parts..., " [block ", describe(blockIdx), "]"));
}

// --- Order of threads and blocks

// 0 is ascending, 1 descending, any other number seeds random orders. Without one, the environment variable SIMT_ORDER
// counts.
inline void set_order(std::optional<uint64_t> order) { machine.requested_order = order; }

inline uint64_t requested_order() {
  const char* variable = std::getenv("SIMT_ORDER");
  if (machine.requested_order || variable == nullptr) return machine.requested_order.value_or(0);
  char* end = nullptr;
  const uint64_t order = std::strtoull(variable, &end, 10);
  if (end == variable || *end != '\0') throw Error(text("SIMT_ORDER is '", variable, "'; it must be a number"));
  return order;
}

template <typename T>
void shuffle_turns(std::vector<T>& turns) {
  if (machine.order > 1) std::shuffle(turns.begin(), turns.end(), machine.random);
}

template <typename T>
std::vector<T> take_turns(T count) {
  std::vector<T> turns(count);
  std::iota(turns.begin(), turns.end(), T{0});
  if (machine.order == 1) std::reverse(turns.begin(), turns.end());
  shuffle_turns(turns);
  return turns;
}

}  // namespace simt
