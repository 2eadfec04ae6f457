// CUDA's built-in vector types, with its alignments, and dim3.
#pragma once

// Inlined, as compilers report no store of what a call returns to their -fsanitize=thread.
#define SIMT_MAKE [[gnu::always_inline]] constexpr

#define SIMT_VECTOR_TYPES(T, name)                                              \
  struct name##1 { T x; };                                                      \
  struct alignas(2 * sizeof(T)) name##2 { T x, y; };                            \
  struct name##3 { T x, y, z; };                                                \
  struct alignas(sizeof(T) < 4 ? 4 * sizeof(T) : 16) name##4 { T x, y, z, w; }; \
  SIMT_MAKE name##1 make_##name##1(T x) { return {x}; }                         \
  SIMT_MAKE name##2 make_##name##2(T x, T y) { return {x, y}; }                 \
  SIMT_MAKE name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }         \
  SIMT_MAKE name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }

SIMT_VECTOR_TYPES(signed char, char)
SIMT_VECTOR_TYPES(unsigned char, uchar)
SIMT_VECTOR_TYPES(short, short)
SIMT_VECTOR_TYPES(unsigned short, ushort)
SIMT_VECTOR_TYPES(int, int)
SIMT_VECTOR_TYPES(unsigned, uint)
SIMT_VECTOR_TYPES(long long, longlong)
SIMT_VECTOR_TYPES(unsigned long long, ulonglong)
SIMT_VECTOR_TYPES(float, float)
SIMT_VECTOR_TYPES(double, double)
#undef SIMT_VECTOR_TYPES
#undef SIMT_MAKE

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
