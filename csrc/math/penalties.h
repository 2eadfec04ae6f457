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

// Gradient of both penalties at a logit, given the rates of the cell and its neighbours (where there is none, its own).
template <typename T>
SDFIDO_INLINE T penalty_gradient(T here, T left, T right, T up, T down, T sparsity, T smoothness) {
  const int32_t slopes = variation_slope(here, left) + variation_slope(here, right) + variation_slope(here, up) +
                         variation_slope(here, down);
  return rate_slope(here) * (sparsity + smoothness * static_cast<T>(slopes));
}

}  // namespace sdfido
