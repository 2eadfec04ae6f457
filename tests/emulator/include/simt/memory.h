// Global memory as CUDA's load and store functions see it, and no plain dereference: counts and checks accesses.
#pragma once
#include <bit>
#include <concepts>
#include <cstring>

#include "checks.h"

// Not for the hooks of an instrumented build: accesses that are seen here already.
#define SIMT_UNSEEN [[gnu::no_sanitize("thread")]]

namespace simt {

// Of the last launch.
inline const Counters& counters() { return machine.counters; }

// So that those of an earlier launch count, too.
inline void add_counters(const Counters& earlier) {
  const auto add = [](Traffic& traffic, const Traffic& other) {
    traffic.bytes += other.bytes;
    for (size_t i = 0; i < traffic.accesses.size(); ++i) traffic.accesses[i] += other.accesses[i];
  };
  add(machine.counters.loads, earlier.loads), add(machine.counters.stores, earlier.stores);
  machine.counters.blocks += earlier.blocks;
}

// As soon as one buffer is watched, every access must lie in a watched one.
inline void watch(const void* pointer, size_t bytes, const char* name = "a buffer",
                  Contents contents = Contents::values) {
  buffers.push_back({reinterpret_cast<uintptr_t>(pointer), bytes, name, contents});
}
inline void unwatch_all() { buffers.clear(); }

template <typename T>
void check_address(const T* pointer, const char* function, const Where& where) {
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  const auto contains = [address](const Buffer& buffer) {
    const uintptr_t offset = address - buffer.begin;
    return offset < buffer.bytes && sizeof(T) <= buffer.bytes - offset;
  };
  const bool is_known = buffers.empty() || std::any_of(buffers.begin(), buffers.end(), contains);
  if (is_known && address % alignof(T) == 0) return;
  fail(where, function, " of ", sizeof(T), " bytes by ", describe(*machine.current),
       is_known ? ": misaligned address" : ": outside all watched buffers");
}

// What CUDA's load and store functions take: numbers and vectors of 1 to 16 bytes, no other structs.
template <typename T>
concept Word = std::has_single_bit(sizeof(T)) && sizeof(T) <= 16 && !std::same_as<T, bool> &&
               (std::is_arithmetic_v<T> || requires(T vector) { vector.x; });

inline void count(Traffic& traffic, size_t bytes) {
  traffic.bytes += bytes;
  ++traffic.accesses[static_cast<size_t>(std::countr_zero(bytes))];
}

template <Word T>
SIMT_UNSEEN T load(const T* pointer, Kind kind, const char* function, const Where& where) {
  check_address(pointer, function, where);
  if (checks.on) see(pointer, false, sizeof(T), kind, function, {nullptr, where});
  count(machine.counters.loads, sizeof(T));
  T value;
  std::memcpy(&value, pointer, sizeof value);  // what is read as a vector may have been written as numbers
  return value;
}

template <Word T>
SIMT_UNSEEN void store(T* pointer, const T& value, const char* function, const Where& where) {
  check_address(pointer, function, where);
  if (checks.on) see(pointer, true, sizeof(T), Kind::plain, function, {nullptr, where});
  count(machine.counters.stores, sizeof(T));
  std::memcpy(pointer, &value, sizeof value);
}

// Threads take turns, so that nothing comes between. Not counted, and allowed in shared memory too.
template <typename T, typename Update>
SIMT_UNSEEN T update(T* pointer, Kind kind, Update next, const char* function, const Where& where) {
  if (!is_shared(reinterpret_cast<uintptr_t>(pointer))) check_address(pointer, function, where);
  if (checks.on) see(pointer, true, sizeof(T), kind, function, {nullptr, where});
  const T old = *pointer;
  *pointer = next(old);
  return old;
}

}  // namespace simt
