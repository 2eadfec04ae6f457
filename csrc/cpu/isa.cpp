// Which instruction-set level runs.
#if defined(__SSE2__)
#include <emmintrin.h>
#endif
#include <cstdlib>
#include <cstring>

#include "loops.h"

namespace sdfido::cpu {
namespace {

const LoopSet& choose() {
  const char* wanted = std::getenv("SDFIDO_CPU_ISA");
  const auto allows = [wanted](const char* level) { return !wanted || !*wanted || !std::strcmp(wanted, level); };
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  if (avx512 && allows("avx512")) return avx512_loops();
  if (__builtin_cpu_supports("avx2") && allows("avx2")) return avx2_loops();
#endif
  return baseline_loops();
}

}  // namespace

void finish_streams() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

const LoopSet& loop_set() {
  static const LoopSet& chosen = choose();
  return chosen;
}

}  // namespace sdfido::cpu
