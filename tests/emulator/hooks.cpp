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

extern "C" {
#define HOOKS(bytes)                                                                                    \
  void __tsan_read##bytes(void* p) { look_at(p, false, bytes, __builtin_return_address(0)); }           \
  void __tsan_write##bytes(void* p) { look_at(p, true, bytes, __builtin_return_address(0)); }           \
  void __tsan_unaligned_read##bytes(void* p) { look_at(p, false, bytes, __builtin_return_address(0)); } \
  void __tsan_unaligned_write##bytes(void* p) { look_at(p, true, bytes, __builtin_return_address(0)); }
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)
#undef HOOKS
void __tsan_read_range(void* p, size_t bytes) { look_at(p, false, bytes, __builtin_return_address(0)); }
void __tsan_write_range(void* p, size_t bytes) { look_at(p, true, bytes, __builtin_return_address(0)); }
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_init() {}
}
