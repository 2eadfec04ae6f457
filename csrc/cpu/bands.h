// How a call is cut into pieces for the workers, and into chunks that stay in the L1 cache.
#pragma once
#include <algorithm>
#include <cstdint>

#include "passes.h"

namespace sdfido::cpu {

// Cells or pixels at a time: a chunk's arrays, 30 KB for three channels in float32 forward, stay in the L1 cache.
inline constexpr int64_t kChunk = 512;

// The images' masks cut into bands of whole rows of cells.
struct Bands {
  int64_t rows, per_image;

  Bands(const Shape& shape, int64_t workers) {
    // Neighbouring bands share rows of rates, and below full resolution the pixels between their outermost cells: as
    // few bands as keep the workers busy. At full resolution more, so that an uneven share costs little.
    const bool full = shape.full_resolution();
    const int64_t wanted = (full ? 8 : 2) * workers;
    const int64_t per_wanted = shape.images > 0 ? (wanted + shape.images - 1) / shape.images : 1;
    rows = (shape.cell_rows + per_wanted - 1) / per_wanted;
    if (full) rows = std::max(rows, 2 * kChunk / std::max<int64_t>(shape.cell_columns, 1));
    rows = std::max<int64_t>(rows, 1);
    per_image = (shape.cell_rows + rows - 1) / rows;
  }
};

// One band: rows [first, last) of the masks of one image.
struct Band {
  int64_t image, first, last;
};

// Pieces that a call has, for at most `threads` workers.
inline int64_t piece_count(const Shape& shape, int64_t threads) {
  return shape.images * Bands(shape, threads).per_image;
}

// Calls visit(band) for each band of the worker's share.
template <typename Visit>
void for_each_band(const Shape& shape, Worker worker, Visit visit) {
  const Bands bands(shape, worker.count);
  const int64_t pieces = shape.images * bands.per_image;
  const int64_t end = pieces * (worker.index + 1) / worker.count;
  for (int64_t piece = pieces * worker.index / worker.count; piece < end; ++piece) {
    const int64_t first = piece % bands.per_image * bands.rows;
    visit(Band{piece / bands.per_image, first, std::min(first + bands.rows, shape.cell_rows)});
  }
}

}  // namespace sdfido::cpu
