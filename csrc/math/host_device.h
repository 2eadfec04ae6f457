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

}  // namespace sdfido
