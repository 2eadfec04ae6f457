// What a compiler's -fsanitize=thread calls at each plain load and store, here in place of its run-time library. Kernels
// built so show the emulator's checks every access, to shared memory too. Unreported: a structure that a function, not
// inlined, returns into memory or is given from there; memcpy and memset where they are calls.
#include <cuda_runtime.h>

namespace {

using namespace simt;

[[maybe_unused]] const bool is_linked = checks.instrumented = true;

// In the middle of a check, whose own functions may be instrumented ones as well.
bool is_busy = false;

void look_at(const void* pointer, bool writes, size_t bytes, const void* code) {
  if (is_busy || !checks.on || machine.current == nullptr) return;
  is_busy = true;
  try {
    see(pointer, writes, bytes, Kind::plain, writes ? "a store" : "a load", {code, {}});
    is_busy = false;
    return;
  } catch (...) {
    machine.error = std::current_exception();
  }
  is_busy = false;
  // Compilers take these calls for ones that do not throw: the thread stops here for good instead.
  machine.current->fiber->suspend();
}

}  // namespace

#define ON_LOAD(p, bytes) look_at(p, false, bytes, __builtin_return_address(0))
#define ON_STORE(p, bytes) look_at(p, true, bytes, __builtin_return_address(0))
#define ON_CALL()
#include <simt/instrumented.inl>
