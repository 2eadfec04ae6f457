// Fibers: functions on stacks of their own that give way to each other within one operating-system thread.
#pragma once
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if !defined(__x86_64__) || defined(SIMT_UCONTEXT)
#define SIMT_USES_UCONTEXT
#include <ucontext.h>
#endif

namespace simt {

#if defined(SIMT_USES_UCONTEXT)
// For every processor, but some ten times slower, as each switch asks Linux to exchange the signal masks.
using Context = ucontext_t;

inline void switch_context(Context* from, Context* to) { swapcontext(from, to); }

inline void prepare_context(Context* context, std::byte* stack, size_t size, void (*function)()) {
  getcontext(context);
  context->uc_stack.ss_sp = stack;
  context->uc_stack.ss_size = size;
  context->uc_link = nullptr;
  makecontext(context, function, 0);
}
#else
// The stack pointer of what is suspended. Above lie the registers that calls preserve, then the way back.
using Context = void*;

// noipa: the compiler must expect any memory to change during this call, for the other threads run in it.
[[gnu::naked, gnu::noipa]] inline void switch_context([[maybe_unused]] Context* from, [[maybe_unused]] Context* to) {
  asm("push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15\n"
      "mov %rsp, (%rdi)\n"
      "mov (%rsi), %rsp\n"
      "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp\n"
      "ret");
}

inline void prepare_context(Context* context, std::byte* stack, size_t size, void (*function)()) {
  auto* top = reinterpret_cast<void**>(stack + size);
  *--top = nullptr;  // in the place of a return address, which aligns the stack as functions expect it
  *--top = reinterpret_cast<void*>(function);
  for (int i = 0; i < 6; ++i) *--top = nullptr;  // the registers
  *context = top;
}
#endif

// AddressSanitizer must be told of every change of stacks: before it, and at arrival.
#if defined(__SANITIZE_ADDRESS__)
inline void leave_stack(void** fake_stack, const void* next, size_t size) {
  __sanitizer_start_switch_fiber(fake_stack, next, size);
}
inline void reach_stack(void* fake_stack, const void** previous, size_t* size) {
  __sanitizer_finish_switch_fiber(fake_stack, previous, size);
}
inline void forget_frames(void* stack, size_t size) { __asan_unpoison_memory_region(stack, size); }
#else
inline void leave_stack(void**, const void*, size_t) {}
inline void reach_stack(void*, const void**, size_t*) {}
inline void forget_frames(void*, size_t) {}
#endif

class Fiber {
 public:
  Fiber() : guard_size_(static_cast<size_t>(sysconf(_SC_PAGESIZE))) {
    void* memory = mmap(nullptr, guard_size_ + kStackSize, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    mprotect(memory, guard_size_, PROT_NONE);  // stacks grow down: a full one ends here, in a fault
    stack_ = static_cast<std::byte*>(memory) + guard_size_;
  }
  // What is suspended is dropped without running its destructors.
  ~Fiber() {
    forget_frames(stack_, kStackSize);
    munmap(stack_ - guard_size_, guard_size_ + kStackSize);
  }
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // The next resume() calls `function`.
  void start(void (*function)()) {
    function_ = function;
    prepare_context(&context_, stack_, kStackSize, run);
  }

  // From outside: returns when the function suspends or ends.
  void resume() {
    running_ = this;
    void* fake_stack = nullptr;
    leave_stack(&fake_stack, stack_, kStackSize);
    switch_context(&outside_, &context_);
    reach_stack(fake_stack, nullptr, nullptr);
  }

  // From inside: returns at the next resume().
  void suspend() {
    leave_stack(&fake_stack_, outside_stack_, outside_size_);
    switch_context(&context_, &outside_);
    reach_stack(fake_stack_, &outside_stack_, &outside_size_);
  }

 private:
  static constexpr size_t kStackSize = 128 << 10;

  static void run() {
    Fiber* self = running_;
    reach_stack(nullptr, &self->outside_stack_, &self->outside_size_);
    self->function_();
    leave_stack(nullptr, self->outside_stack_, self->outside_size_);
    switch_context(&self->context_, &outside_);
  }

  inline static Fiber* running_ = nullptr;
  inline static Context outside_;
  size_t guard_size_;
  std::byte* stack_;
  Context context_;
  void (*function_)() = nullptr;
  void* fake_stack_ = nullptr;
  const void* outside_stack_ = nullptr;
  size_t outside_size_ = 0;
};

}  // namespace simt
