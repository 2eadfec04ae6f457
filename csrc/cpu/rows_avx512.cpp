// The loops for machines with AVX-512 (F, BW, CD, DQ, VL), at its full width.
#if defined(__x86_64__)
#define SDFIDO_ISA avx512
#define SDFIDO_ISA_NAME "avx512"
#if defined(__clang__)
#define SDFIDO_TARGET __attribute__((target("avx512f,avx512bw,avx512cd,avx512dq,avx512vl"), min_vector_width(512)))
#else
#define SDFIDO_TARGET __attribute__((target("avx512f,avx512bw,avx512cd,avx512dq,avx512vl,prefer-vector-width=512")))
#endif
#include "rows.inl"

const sdfido::cpu::RowSet& sdfido::cpu::avx512_rows() { return avx512::row_set; }
#endif
