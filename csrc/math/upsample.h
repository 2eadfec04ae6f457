// Bilinear upsampling with half-pixel centres (align_corners=False) along one axis.
//
//   position = max(0, (i + 1/2) * cells / pixels - 1/2)
//   first    = floor(position)
//   weight   = position - first
//   value(i) = v[first] + weight * (v[first + 1] - v[first]);   beyond the last cell: v[first], weight 0
//
// Columns go first, then rows. The transpose gathers for each cell from the pixels that read it.
#pragma once
#include "host_device.h"

namespace sdfido {

template <typename T>
struct SourceCell {
  int64_t first;
  T weight;
};

template <typename T>
SDFIDO_INLINE SourceCell<T> source_cell(int64_t pixel, int64_t cells, int64_t pixels) {
  const T scale = static_cast<T>(cells) / static_cast<T>(pixels);
  T position = (static_cast<T>(pixel) + T(0.5)) * scale - T(0.5);
  position = position < T(0) ? T(0) : position;
  const auto first = static_cast<int64_t>(position);
  if (first >= cells - 1) return {cells - 1, T(0)};
  return {first, position - static_cast<T>(first)};
}

template <typename T>
SDFIDO_INLINE T interpolate(T first, T second, T weight) {
  return first + weight * (second - first);
}

}  // namespace sdfido
