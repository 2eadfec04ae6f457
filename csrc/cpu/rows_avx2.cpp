// The loops for machines with AVX2.
#if defined(__x86_64__)
#define SDFIDO_ISA avx2
#define SDFIDO_ISA_NAME "avx2"
#define SDFIDO_TARGET __attribute__((target("avx2")))
#include "rows.inl"

const sdfido::cpu::RowSet& sdfido::cpu::avx2_rows() { return avx2::row_set; }
#endif
