// What the mathematics needs to compile for CPUs and for CUDA alike.
#pragma once
#include <cstdint>
#include <cstring>

#if defined(__CUDACC__)
#define SDFIDO_INLINE __host__ __device__ __forceinline__
#else
// always_inline: a caller built for AVX-512 takes this code in, and with it the caller's instruction set.
#define SDFIDO_INLINE inline __attribute__((always_inline))
#endif

namespace sdfido {

SDFIDO_INLINE float bits_to_float(uint32_t bits) {
#if defined(__CUDA_ARCH__)
  return __uint_as_float(bits);
#else
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
#endif
}

SDFIDO_INLINE uint32_t float_to_bits(float value) {
#if defined(__CUDA_ARCH__)
  return __float_as_uint(value);
#else
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
#endif
}

// b / a and 1 / x, rounded to nearest, of numbers whose magnitude, and that of the result, is between 2^-100 and 2^100,
// or NaN. On a GPU these are the instructions that the compiler takes for such operands, without its check of the range;
// CPUs have no such range.
#if defined(__CUDA_ARCH__)
SDFIDO_INLINE float approximate_reciprocal(float x) {
  float result;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}
SDFIDO_INLINE float divide_in_range(float b, float a) {
  float inverse = approximate_reciprocal(a);
  inverse = __fmaf_rn(inverse, __fmaf_rn(-a, inverse, 1.0f), inverse);
  const float quotient = __fmul_rn(b, inverse);
  return __fmaf_rn(inverse, __fmaf_rn(-a, quotient, b), quotient);
}
SDFIDO_INLINE float invert_in_range(float x) {
  const float inverse = approximate_reciprocal(x);
  return __fmaf_rn(inverse, -__fmaf_rn(x, inverse, -1.0f), inverse);
}
#else
SDFIDO_INLINE float divide_in_range(float b, float a) { return b / a; }
SDFIDO_INLINE float invert_in_range(float x) { return 1.0f / x; }
#endif
SDFIDO_INLINE double divide_in_range(double b, double a) { return b / a; }
SDFIDO_INLINE double invert_in_range(double x) { return 1.0 / x; }

}  // namespace sdfido
