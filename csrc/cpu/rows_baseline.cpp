// The loops for the instruction set that every machine of this architecture has (on x86-64: SSE2).
#define SDFIDO_ISA baseline
#define SDFIDO_ISA_NAME "baseline"
#define SDFIDO_TARGET
#include "rows.inl"

const sdfido::cpu::RowSet& sdfido::cpu::baseline_rows() { return baseline::row_set; }
