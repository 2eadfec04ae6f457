// Counts the heap of a process into which it is preloaded: the bytes that malloc and its kin have handed out.
#include <errno.h>
#include <malloc.h>
#include <stddef.h>

#include <atomic>

extern "C" {

void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void __libc_free(void*);

static std::atomic<long> live, peak;

static void* taken(void* block) {
  if (!block) return block;
  const long now = live += static_cast<long>(malloc_usable_size(block));
  long seen = peak;
  while (now > seen && !peak.compare_exchange_weak(seen, now)) {
  }
  return block;
}

static void given_back(void* block) {
  if (block) live -= static_cast<long>(malloc_usable_size(block));
}

void* malloc(size_t size) { return taken(__libc_malloc(size)); }
void* calloc(size_t count, size_t size) { return taken(__libc_calloc(count, size)); }
void* memalign(size_t alignment, size_t size) { return taken(__libc_memalign(alignment, size)); }
void* aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void** out, size_t alignment, size_t size) {
  void* block = memalign(alignment, size);
  if (!block) return ENOMEM;
  *out = block;
  return 0;
}

void* realloc(void* block, size_t size) {
  const long before = block ? static_cast<long>(malloc_usable_size(block)) : 0;
  void* moved = __libc_realloc(block, size);
  if (moved || size == 0) live -= before;
  return taken(moved);
}

void free(void* block) {
  given_back(block);
  __libc_free(block);
}

// Starts a measurement, and returns what is live.
long sdfido_heap_begin() { return peak = live.load(); }
// The most that was live since.
long sdfido_heap_peak() { return peak; }

}  // extern "C"
