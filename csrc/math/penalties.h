// Penalties on keep rates: sparsity (their mean) and smoothness (their anisotropic total variation, a cell).
//
//   sparsity = sum rate / cells,   smoothness = (sum |right - here| + sum |below - here|) / cells
//   d|a - b|/da = sign(a - b), 0 at a = b;   drate/dlogit = rate * (1 - rate)
#pragma once
#include "host_device.h"

namespace sdfido {

template <typename T>
SDFIDO_INLINE T variation(T a, T b) {
  const T d = a - b;
  return d < T(0) ? -d : d;
}

template <typename T>
SDFIDO_INLINE int32_t variation_slope(T a, T b) {
  return static_cast<int32_t>(a > b) - static_cast<int32_t>(a < b);
}

template <typename T>
SDFIDO_INLINE T rate_slope(T rate) {
  return rate * (T(1) - rate);
}

}  // namespace sdfido
