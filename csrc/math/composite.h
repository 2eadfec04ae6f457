// Composite of image and infill, and the storage formats it is written in and its gradient is read from.
//
//   composite = infill + m * (image - infill)
//   dm = sum_channels g * (image - infill),   dimage = sum_samples m * g,   dinfill = sum_samples (1 - m) * g
#pragma once
#include "host_device.h"

namespace sdfido {

template <typename T>
SDFIDO_INLINE T composite(T infill, T difference, T m) {
  return infill + m * difference;
}

// 16-bit storage formats; arithmetic never happens in them.
struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

// Reading is exact.
SDFIDO_INLINE float load(float value) { return value; }
SDFIDO_INLINE double load(double value) { return value; }
SDFIDO_INLINE float load(BFloat16 value) { return bits_to_float(static_cast<uint32_t>(value.bits) << 16); }
SDFIDO_INLINE float load(Float16 value) {
  const uint32_t sign = static_cast<uint32_t>(value.bits & 0x8000u) << 16;
  const uint32_t rest = static_cast<uint32_t>(value.bits & 0x7FFFu) << 13;
  const float normal = bits_to_float(rest + (112u << 23));
  const float special = bits_to_float(rest + (224u << 23));                     // infinity and NaN
  const float denormal = bits_to_float(rest + (113u << 23)) - 6.103515625e-5f;  // 2^-14
  const float magnitude = rest >= (31u << 23) ? special : rest < (1u << 23) ? denormal : normal;
  return bits_to_float(float_to_bits(magnitude) | sign);
}

// Writing rounds to nearest, ties to even.
SDFIDO_INLINE void store(float value, float& out) { out = value; }
SDFIDO_INLINE void store(double value, double& out) { out = value; }
SDFIDO_INLINE void store(float value, BFloat16& out) {
  const uint32_t bits = float_to_bits(value);
  const uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
  out.bits = static_cast<uint16_t>((bits & 0x7FFFFFFFu) > 0x7F800000u ? 0x7FC0u : rounded);
}
SDFIDO_INLINE void store(float value, Float16& out) {
  const uint32_t bits = float_to_bits(value);
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  const uint32_t normal = (magnitude - (112u << 23) + 0xFFFu + ((magnitude >> 13) & 1u)) >> 13;
  const uint32_t denormal = float_to_bits(bits_to_float(magnitude) + 0.5f) - 0x3F000000u;  // in units of 2^-24
  uint32_t rounded = magnitude < (113u << 23) ? denormal : normal;
  rounded = magnitude >= (143u << 23) ? 0x7C00u : rounded;
  rounded = magnitude > 0x7F800000u ? 0x7E00u : rounded;
  out.bits = static_cast<uint16_t>(rounded | ((bits >> 16) & 0x8000u));
}

}  // namespace sdfido
