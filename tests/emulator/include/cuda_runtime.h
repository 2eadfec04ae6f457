// CUDA's kernel language as C++20. Found in place of the toolkit's header, it runs kernels on the CPU.
//
// Here is what a kernel needs to compile, under CUDA's names; simt/ holds how it runs. Where CUDA leaves a case
// undefined, or to newer devices, it is an error here. Functions that a GPU rounds in its own way (__fdividef, __expf,
// rsqrtf ...) and dynamic shared memory are absent.
#pragma once
#include <bit>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "simt/launch.h"
#include "simt/memory.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __constant__ [[maybe_unused]] static
// One copy serves block after block: see find_shared_memory(). alignas(n) goes before it, __align__(n) after.
#define __shared__ static thread_local

using std::max;
using std::min;

// --- Barriers and fences

#define SIMT_WHERE simt::Where where = simt::Where::current()

inline void __syncthreads(SIMT_WHERE) { simt::meet_block("__syncthreads", false, where); }
inline int __syncthreads_count(int value, SIMT_WHERE) {
  return static_cast<int>(simt::meet_block("__syncthreads_count", value != 0, where));
}
inline int __syncthreads_or(int value, SIMT_WHERE) {
  return simt::meet_block("__syncthreads_or", value != 0, where) != 0;
}
inline int __syncthreads_and(int value, SIMT_WHERE) {
  return simt::meet_block("__syncthreads_and", value == 0, where) == 0;
}

// Threads run one at a time and see each other's writes in order: fences matter to the checks alone. One within a block
// orders nothing between blocks.
inline void __threadfence() {
  if (simt::checks.on) simt::history.fence(simt::machine.current->rank);
}
inline void __threadfence_system() { __threadfence(); }
inline void __threadfence_block() {}

// --- Warps

namespace simt {

// `source(lane, begin, end)` is the lane to read, given the caller's lane and segment.
template <typename T, typename Source>
T shuffle(const char* function, unsigned mask, T value, int width, Source source, const Where& where) {
  static_assert(std::is_arithmetic_v<T> && sizeof(T) <= 8, "shuffles take numbers of up to 8 bytes");
  if (width < 1 || width > 32 || !std::has_single_bit(static_cast<unsigned>(width))) {
    fail(where, function, ": width ", width, "; must be 1, 2, 4, 8, 16 or 32");
  }
  const int lane = static_cast<int>(machine.current->lane()), begin = lane & -width;
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = meet_warp(function, mask, bits, source(lane, begin, begin + width), where);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// The lanes whose predicate is true.
inline unsigned vote(const char* function, unsigned mask, bool predicate, const Where& where) {
  return static_cast<unsigned>(meet_warp(function, mask, predicate, -1, where));
}

}  // namespace simt

inline void __syncwarp(unsigned mask = 0xFFFFFFFF, SIMT_WHERE) { simt::vote("__syncwarp", mask, false, where); }
inline unsigned __ballot_sync(unsigned mask, int predicate, SIMT_WHERE) {
  return simt::vote("__ballot_sync", mask, predicate != 0, where);
}
inline int __any_sync(unsigned mask, int predicate, SIMT_WHERE) {
  return simt::vote("__any_sync", mask, predicate != 0, where) != 0;
}
inline int __all_sync(unsigned mask, int predicate, SIMT_WHERE) {
  return simt::vote("__all_sync", mask, predicate == 0, where) == 0;
}

template <typename T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32, SIMT_WHERE) {
  const auto source = [=](int, int begin, int end) { return begin + (lane & (end - begin - 1)); };
  return simt::shuffle("__shfl_sync", mask, value, width, source, where);
}
// Up, down and xor: a lane that would read beyond the end of its segment (up: before it) gets its own value.
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, SIMT_WHERE) {
  const int d = static_cast<int>(min(delta, 32u));
  const auto source = [=](int self, int begin, int) { return self - d >= begin ? self - d : self; };
  return simt::shuffle("__shfl_up_sync", mask, value, width, source, where);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, SIMT_WHERE) {
  const int d = static_cast<int>(min(delta, 32u));
  const auto source = [=](int self, int, int end) { return self + d < end ? self + d : self; };
  return simt::shuffle("__shfl_down_sync", mask, value, width, source, where);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, SIMT_WHERE) {
  const auto source = [=](int self, int, int end) { return (self ^ (bits & 31)) < end ? self ^ (bits & 31) : self; };
  return simt::shuffle("__shfl_xor_sync", mask, value, width, source, where);
}

template <bool provided = false>
unsigned __activemask() {
  static_assert(provided, "__activemask() depends on how the hardware happens to diverge: pass a known mask on");
  return 0;
}

// --- Global memory

#define SIMT_LOAD(name, kind)                                   \
  template <typename T>                                         \
  T name(const T* pointer, SIMT_WHERE) {                        \
    return simt::load(pointer, simt::Kind::kind, #name, where); \
  }
#define SIMT_STORE(name)                                             \
  template <typename T>                                              \
  void name(T* pointer, std::type_identity_t<T> value, SIMT_WHERE) { \
    simt::store(pointer, value, #name, where);                       \
  }
SIMT_LOAD(__ldg, read_only)
SIMT_LOAD(__ldcg, plain)
SIMT_LOAD(__ldcs, plain)
SIMT_STORE(__stcg)
SIMT_STORE(__stcs)
SIMT_STORE(__stwb)
#undef SIMT_LOAD
#undef SIMT_STORE

template <typename T>
  requires(std::is_same_v<T, int> || std::is_same_v<T, unsigned> || std::is_same_v<T, float>)
T atomicAdd(T* pointer, std::type_identity_t<T> value, SIMT_WHERE) {
  return simt::update(pointer, simt::Kind::atomic, [value](T old) { return old + value; }, "atomicAdd", where);
}
template <typename T>
  requires(std::is_same_v<T, int> || std::is_same_v<T, unsigned>)
T atomicMax(T* pointer, std::type_identity_t<T> value, SIMT_WHERE) {
  return simt::update(pointer, simt::Kind::atomic, [value](T old) { return max(old, value); }, "atomicMax", where);
}
template <typename T>
  requires(std::is_same_v<T, int> || std::is_same_v<T, unsigned>)
T atomicCAS(T* pointer, std::type_identity_t<T> expected, std::type_identity_t<T> value, SIMT_WHERE) {
  const auto swap = [=](T old) { return old == expected ? value : old; };
  return simt::update(pointer, simt::Kind::atomic, swap, "atomicCAS", where);
}
// Count up to `last`, then start at 0 again; the second is atomic among the threads of a block alone.
inline unsigned atomicInc(unsigned* pointer, unsigned last, SIMT_WHERE) {
  const auto increment = [last](unsigned old) { return old >= last ? 0 : old + 1; };
  return simt::update(pointer, simt::Kind::atomic, increment, "atomicInc", where);
}
inline unsigned atomicInc_block(unsigned* pointer, unsigned last, SIMT_WHERE) {
  const auto increment = [last](unsigned old) { return old >= last ? 0 : old + 1; };
  return simt::update(pointer, simt::Kind::block_atomic, increment, "atomicInc_block", where);
}

// --- Arithmetic

inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>(uint64_t{a} * b >> 32); }
inline unsigned __float_as_uint(float value) { return std::bit_cast<unsigned>(value); }
inline float __uint_as_float(unsigned bits) { return std::bit_cast<float>(bits); }

#undef SIMT_WHERE
