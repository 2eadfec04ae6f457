// The functions that a compiler's -fsanitize=thread calls at each plain access, in place of those of its run-time library.
// Who includes this says what they do, by the macros ON_LOAD(p, bytes), ON_STORE(p, bytes) and ON_CALL(): at a load, a
// store, and the beginning of a function. There, __builtin_return_address(0) is the place in the code.
extern "C" {
#define HOOKS(bytes)                                                                 \
  void __tsan_read##bytes([[maybe_unused]] void* p) { ON_LOAD(p, bytes); }           \
  void __tsan_write##bytes([[maybe_unused]] void* p) { ON_STORE(p, bytes); }         \
  void __tsan_unaligned_read##bytes([[maybe_unused]] void* p) { ON_LOAD(p, bytes); } \
  void __tsan_unaligned_write##bytes([[maybe_unused]] void* p) { ON_STORE(p, bytes); }
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)
#undef HOOKS
void __tsan_read_range([[maybe_unused]] void* p, [[maybe_unused]] size_t bytes) { ON_LOAD(p, bytes); }
void __tsan_write_range([[maybe_unused]] void* p, [[maybe_unused]] size_t bytes) { ON_STORE(p, bytes); }
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void __tsan_func_entry(void*) { ON_CALL(); }
void __tsan_func_exit() {}
void __tsan_init() {}
}
