// The loops for the instruction set that every machine of this architecture has (on x86-64: SSE2).
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

#define SDFIDO_ISA baseline
#define SDFIDO_LANES 2
#include "loops.inl"

const sdfido::cpu::LoopSet& sdfido::cpu::baseline_loops() { return baseline::loop_set; }
