// The loops for machines with AVX2.
#if defined(__x86_64__)
#include <immintrin.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif

#define SDFIDO_ISA avx2
#define SDFIDO_LANES 4
#include "loops.inl"

const sdfido::cpu::LoopSet& sdfido::cpu::avx2_loops() { return avx2::loop_set; }

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
