// How the warps of emulated kernels reach memory, by the addresses of all lanes: wavefronts of loads from shared memory,
// and sectors of stores to global memory.
#pragma once
#include <cstddef>
#include <cstdint>

namespace accesses {

// By the thread whose turn it is, in this line of the kernels. Loads from shared memory are seen without being told.
void note_store(const void* pointer, size_t bytes, unsigned line);

// Prints what the launches since the last report did.
void report(const char* name, long side);

}  // namespace accesses
