// Simplified concrete dropout (Korsch et al., GCPR 2023): a mask value from a keep logit and a random word.
//
//   m = sigmoid((logit + log u - log(1-u)) / temperature) = 1 / (1 + (odds * exp(-logit))^(1/temperature))
//   dm/dlogit = m * (1 - m) / temperature,   odds = (1-u)/u
//
// Two ways lead there, with the same bits on every machine, since they are made of +, -, *, / alone:
//   kPower >= 1: 1/temperature is that integer. One exponential for a cell, a few products for a sample.
//   kPower == 0: any other temperature, through log2 and exp2.
#pragma once
#include <cmath>

#include "host_device.h"

namespace sdfido {

// Beyond these the mask is 1 or 0 to the last bit, and a power would overflow or become denormal (and slow).
constexpr float kLog2RatioMin = -30.0f, kLog2RatioMax = 80.0f;

template <typename T>
SDFIDO_INLINE T infinity() {
  return static_cast<T>(HUGE_VALF);
}

// (1-u)/u = b/a for u = (word / 256 + 1/2) / 2^24: never 0 or infinite; the complement of the word swaps a and b.
template <typename T>
SDFIDO_INLINE T odds_of_word(uint32_t word) {
  const auto number = static_cast<int32_t>(word >> 8);
  const T a = static_cast<T>(number) + T(0.5);
  const T b = static_cast<T>(0xFFFFFF - number) + T(0.5);
  return divide_in_range(b, a);
}

// 2^x for |x| < 126: 2^n by the exponent's bits, the rest by a polynomial (relative error below 2e-7).
SDFIDO_INLINE float exp2_bounded(float x) {
  const float shifted = x + 12582912.0f;  // 1.5 * 2^23 rounds to the nearest integer
  const float r = x - (shifted - 12582912.0f);
  float p = 1.5403530394e-4f;
  p = p * r + 1.3333558146e-3f;
  p = p * r + 9.6181291076e-3f;
  p = p * r + 5.5504108664e-2f;
  p = p * r + 2.4022650696e-1f;
  p = p * r + 6.9314718056e-1f;
  p = p * r + 1.0f;
  return p * bits_to_float((float_to_bits(shifted) - 0x4B400000u + 127u) << 23);
}

// log2(x) for positive normal x: the exponent, and a polynomial around 1 (absolute error below 2e-7 of it).
SDFIDO_INLINE float log2_normal(float x) {
  const uint32_t bits = float_to_bits(x);
  const int32_t exponent = static_cast<int32_t>(bits - 0x3F3504F3u) >> 23;
  const float f = bits_to_float(bits - (static_cast<uint32_t>(exponent) << 23)) - 1.0f;
  float p = 7.0376836292e-2f;  // log(1+f) = f - f^2/2 + f^3 p(f)
  p = p * f - 1.1514610310e-1f;
  p = p * f + 1.1676998740e-1f;
  p = p * f - 1.2420140846e-1f;
  p = p * f + 1.4249322787e-1f;
  p = p * f - 1.6668057665e-1f;
  p = p * f + 2.0000714765e-1f;
  p = p * f - 2.4999993993e-1f;
  p = p * f + 3.3333331174e-1f;
  const float square = f * f;
  const float tail = p * f * square - 0.5f * square;
  return (f + tail) * 1.44269504089f + static_cast<float>(exponent);
}

SDFIDO_INLINE double exp2_bounded(double x) { return exp2(x); }
SDFIDO_INLINE double log2_normal(double x) { return log2(x); }

// exp(-logit): 0 or infinite where float32 has no normal number for it; NaN stays NaN.
SDFIDO_INLINE float exp_of_minus(float logit) {
  const float x = -logit;
  float bounded = x < 88.0f ? x : 88.0f;
  bounded = bounded > -87.0f ? bounded : -87.0f;
  const float shifted = bounded * 1.44269504089f + 12582912.0f;
  const float n = shifted - 12582912.0f;
  const float r = (bounded - n * 0.693359375f) + n * 2.12194440e-4f;  // the first product is exact
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  float result = p * bits_to_float((float_to_bits(shifted) - 0x4B400000u + 127u) << 23);
  result = x > 88.0f ? infinity<float>() : result;
  result = x < -87.0f ? 0.0f : result;
  return x == x ? result : x;
}

SDFIDO_INLINE double exp_of_minus(double logit) { return exp(-logit); }

// Keep rate, sigmoid(logit).
template <typename T>
SDFIDO_INLINE T keep_rate(T logit) {
  return T(1) / (T(1) + exp_of_minus(logit));
}

// What a cell contributes to all of its samples: exp(-logit), or -logit / log 2 on the way of logarithms.
template <int kPower, typename T>
SDFIDO_INLINE T prepare_logit(T logit) {
  if constexpr (kPower == 0) {
    return logit * T(-1.4426950408889634);
  } else {
    return exp_of_minus(logit);
  }
}

// x^kPower by repeated squaring.
template <int kPower, typename T>
SDFIDO_INLINE T power(T x) {
  if constexpr (kPower == 1) {
    return x;
  } else if constexpr (kPower % 2 == 0) {
    return power<kPower / 2>(x * x);
  } else {
    return power<kPower / 2>(x * x) * x;
  }
}

// The same, to the last bit, for an exponent below 32 that is known only at run time.
template <typename T>
SDFIDO_INLINE T power(T x, int exponent) {
  const T x2 = x * x, x4 = x2 * x2, x8 = x4 * x4, x16 = x8 * x8;
  T result = T(1);
  if (exponent & 16) result = result * x16;
  if (exponent & 8) result = result * x8;
  if (exponent & 4) result = result * x4;
  if (exponent & 2) result = result * x2;
  if (exponent & 1) result = result * x;
  return result;
}

// The same for several numbers: which exponent it is is asked once. 10 is the default, 1 to 5 are those of FIDO.
template <int kCount, typename T>
SDFIDO_INLINE void raise(T (&x)[kCount], int exponent) {
  if (exponent == 10) {
    for (int i = 0; i < kCount; ++i) x[i] = power<10>(x[i]);
  } else if (exponent > 5) {
    for (int i = 0; i < kCount; ++i) x[i] = power(x[i], exponent);
  } else if (exponent > 1) {
    for (int i = 0; i < kCount; ++i) {
      T result = x[i] * x[i];
      if (exponent > 3) result = result * result;
      if (exponent & 1) result = result * x[i];
      x[i] = result;
    }
  }
}

// max(x, bound) for x >= 0, NaN staying NaN: of such floats the larger one has the larger bits.
SDFIDO_INLINE float at_least(float x, float bound) {
  const uint32_t bits = float_to_bits(x), bound_bits = float_to_bits(bound);
  return bits_to_float(bits > bound_bits ? bits : bound_bits);
}
SDFIDO_INLINE double at_least(double x, float) { return x; }

// Below this a factor counts for nothing: its power is at most 2^-25, which 1 + ratio absorbs. It keeps all factors of
// the power out of float32's denormal numbers, which are slow.
SDFIDO_INLINE constexpr float smallest_factor(int power) {
  return power >= 9 ? 0x1p-3f : power >= 5 ? 0x1p-5f : power >= 3 ? 0x1p-9f : 0x1p-25f;
}

template <typename T>
SDFIDO_INLINE T mask_of_ratio(T ratio) {
  const T bound = sizeof(T) == 4 ? T(0x1p80f) : infinity<T>();
  const bool is_beyond = ratio > bound;
#if defined(__CUDA_ARCH__)
  ratio = is_beyond ? bound : ratio;  // CPUs divide anything as fast
#endif
  const T m = invert_in_range(T(1) + ratio);
  return is_beyond ? T(0) : m;
}

// m from the odds of its noise and its prepared logit.
template <typename T>
SDFIDO_INLINE T mask_of_log2_ratio(T x) {
  const T low = sizeof(T) == 4 ? T(kLog2RatioMin) : T(-1000);
  const T high = sizeof(T) == 4 ? T(kLog2RatioMax) : T(1000);
  x = x < low ? low : x;  // these comparisons let NaN through
  x = x > high ? high : x;
  const T m = invert_in_range(T(1) + exp2_bounded(x));
  return x == high ? T(0) : m;
}

template <typename T>
SDFIDO_INLINE T mask_by_logarithms(T odds, T prepared, T inverse_temperature) {
  return mask_of_log2_ratio((log2_normal(odds) + prepared) * inverse_temperature);
}

template <int kPower, typename T>
SDFIDO_INLINE T mask_of_odds(T odds, T prepared, T inverse_temperature) {
  if constexpr (kPower == 0) {
    return mask_by_logarithms(odds, prepared, inverse_temperature);
  } else {
    return mask_of_ratio(power<kPower>(at_least(odds * prepared, smallest_factor(kPower))));
  }
}

// The same, to the last bit, for several odds and a power that is known only at run time; `smallest` is its
// smallest_factor.
template <int kCount, typename T>
SDFIDO_INLINE void masks_of_odds(T (&odds)[kCount], T prepared, T inverse_temperature, int exponent, float smallest) {
  if (exponent == 0) {
    for (int i = 0; i < kCount; ++i) odds[i] = mask_by_logarithms(odds[i], prepared, inverse_temperature);
    return;
  }
  for (int i = 0; i < kCount; ++i) odds[i] = at_least(odds[i] * prepared, smallest);
  raise(odds, exponent);
  for (int i = 0; i < kCount; ++i) odds[i] = mask_of_ratio(odds[i]);
}

// 1/temperature if it is an integer that the powers are built for, else 0.
inline int power_of(double temperature) {
  const double inverse = 1.0 / temperature;
  const bool built = inverse == std::floor(inverse) && ((inverse >= 1 && inverse <= 10) || inverse == 20);
  return built ? static_cast<int>(inverse) : 0;
}

// log2(u) for u > 0, denormal numbers included.
template <typename T>
SDFIDO_INLINE T log2_positive(T u) {
  const bool small = u < T(0x1p-100f);
  return log2_normal(small ? u * T(0x1p64f) : u) - (small ? T(64) : T(0));
}

// From a given uniform number, by logarithms.
template <typename T>
SDFIDO_INLINE T mask_of_uniform_by_logarithms(T logit, T u, T inverse_temperature) {
  const T log2_odds = log2_positive(T(1) - u) - log2_positive(u);
  return mask_of_log2_ratio((log2_odds + prepare_logit<0>(logit)) * inverse_temperature);
}

// odds * exp(-logit) for a given uniform number. By halves: neither factor alone need fit into the format.
template <typename T>
SDFIDO_INLINE T factor_of_uniform(T logit, T u) {
  const T half = exp_of_minus(logit * T(0.5));
  return (T(1) - u) * half / u * half;
}

// m, but 0 and 1 at the ends of u, and NaN for u outside [0, 1] or a NaN logit.
template <typename T>
SDFIDO_INLINE T mask_at_uniform(T m, T logit, T u) {
  m = u == T(0) ? T(0) : m;
  m = u == T(1) ? T(1) : m;
  m = u >= T(0) && u <= T(1) ? m : infinity<T>() - infinity<T>();
  return logit == logit ? m : logit;
}

template <int kPower, typename T>
SDFIDO_INLINE T mask_of_uniform(T logit, T u, T inverse_temperature) {
  if constexpr (kPower == 0) {
    return mask_at_uniform(mask_of_uniform_by_logarithms(logit, u, inverse_temperature), logit, u);
  } else {
    const T factor = at_least(factor_of_uniform(logit, u), smallest_factor(kPower));
    return mask_at_uniform(mask_of_ratio(power<kPower>(factor)), logit, u);
  }
}

// The same, to the last bit, for a power that is known only at run time.
template <typename T>
SDFIDO_INLINE T mask_of_uniform(T logit, T u, T inverse_temperature, int exponent) {
  if (exponent == 0) {
    return mask_at_uniform(mask_of_uniform_by_logarithms(logit, u, inverse_temperature), logit, u);
  }
  const T factor = at_least(factor_of_uniform(logit, u), smallest_factor(exponent));
  return mask_at_uniform(mask_of_ratio(power(factor, exponent)), logit, u);
}

// dm/dlogit * temperature.
template <typename T>
SDFIDO_INLINE T mask_slope(T m) {
  return m * (T(1) - m);
}

}  // namespace sdfido
