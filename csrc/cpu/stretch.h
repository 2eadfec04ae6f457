// Bilinear upsampling of masks row by row, and its transpose: the tables of one image size, and two rows of cells of
// every sample.
#pragma once
#include <algorithm>

#include "../math/upsample.h"
#include "../problem.h"
#include "scratch.h"

namespace sdfido::cpu {

template <typename T>
struct Stretch {
  int32_t *first, *second, *row_start, *tap_start;
  T *weight, *tap_weights;
  T *rows, *gradients;  // of every sample: masks stretched to the image's width, gradients to be gathered
  int64_t taps;

  static int64_t count_taps(const Shape& shape) {
    // A cell is read by the pixels less than one cell away; the outermost cells also by those beyond, half a cell.
    return std::min(shape.width, 2 * ((shape.width + shape.cell_columns - 1) / shape.cell_columns) + 2);
  }

  Stretch(Scratch& scratch, const Shape& shape, bool need_rows, bool need_gradients)
      : first(scratch.take<int32_t>(shape.width)),
        second(scratch.take<int32_t>(shape.width)),
        row_start(scratch.take<int32_t>(shape.cell_rows + 1)),
        tap_start(scratch.take<int32_t>(shape.cell_columns)),
        weight(scratch.take<T>(shape.width)),
        tap_weights(scratch.take<T>(shape.cell_columns * count_taps(shape))),
        rows(scratch.take<T>(need_rows ? 2 * shape.masks * shape.samples * shape.width : 0)),
        gradients(scratch.take<T>(need_gradients ? 2 * shape.masks * shape.samples * shape.width : 0)),
        taps(count_taps(shape)) {}

  void fill(const Shape& s) {
    for (int64_t x = 0; x < s.width; ++x) {
      const auto source = source_cell<T>(x, s.cell_columns, s.width);
      first[x] = static_cast<int32_t>(source.first);
      second[x] = static_cast<int32_t>(std::min(source.first + 1, s.cell_columns - 1));
      weight[x] = source.weight;
    }
    int64_t row = 0;
    for (int64_t cell = 0; cell <= s.cell_rows; ++cell) {
      while (row < s.height && source_cell<T>(row, s.cell_rows, s.height).first < cell) ++row;
      row_start[cell] = static_cast<int32_t>(row);
    }
    for (int64_t cell = 0, begin = 0; cell < s.cell_columns; ++cell) {
      // Pixels before the first cell's centre read that cell alone: they come before the second cell's window.
      while (begin < s.width && (first[begin] + 1 < cell || (first[begin] + 1 == cell && weight[begin] == T(0))))
        ++begin;
      const int64_t start = std::min(begin, s.width - taps);
      tap_start[cell] = static_cast<int32_t>(start);
      for (int64_t tap = 0; tap < taps; ++tap) {
        const int64_t x = start + tap;
        tap_weights[tap * s.cell_columns + cell] = first[x] == cell       ? T(1) - weight[x]
                                                   : first[x] + 1 == cell ? weight[x]
                                                                          : T(0);
      }
    }
  }

  // The sum of gather_columns where numbers are not finite: each goes to the cells that its pixel reads, and to these
  // even where their weight is 0, as in PyTorch; to no others.
  void gather_exactly(const T* values, T* out, const Shape& s) const {
    std::fill_n(out, s.cell_columns, T(0));
    for (int64_t x = 0; x < s.width; ++x) {
      out[first[x]] += (T(1) - weight[x]) * values[x];
      if (first[x] + 1 < s.cell_columns) out[first[x] + 1] += weight[x] * values[x];
    }
  }

  static T* slot(T* rows, const Shape& s, int64_t mask, int64_t sample, int64_t cell_row) {
    return rows + ((mask * s.samples + sample) * 2 + cell_row % 2) * s.width;
  }
};

}  // namespace sdfido::cpu
