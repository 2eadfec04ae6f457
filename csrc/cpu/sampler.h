// What the passes share: private memory, the cutting into bands, the walk over a mask's samples, penalties'
// rows.
#pragma once
#include <algorithm>
#include <cstddef>

#include "passes.h"
#include "rows.h"

namespace sdfido::cpu {

// Hands out 64-byte aligned arrays; without memory it only counts how much they would take.
class Scratch {
 public:
  explicit Scratch(void* memory) : memory_(static_cast<char*>(memory)) {}
  template <typename T>
  T* take(int64_t count) {
    char* at = memory_ ? memory_ + used_ : nullptr;
    used_ += (static_cast<size_t>(count) * sizeof(T) + 63) / 64 * 64;
    return reinterpret_cast<T*>(at);
  }
  size_t used() const { return used_; }

 private:
  char* memory_;
  size_t used_ = 0;
};

inline constexpr int64_t kChunk =
    512;  // cells or pixels at a time: all of a chunk's arrays stay in the L1 cache

// The images' masks cut into bands of whole rows of cells.
struct Bands {
  int64_t rows, per_image;

  Bands(const Shape& shape, int64_t workers) {
    // Neighbouring bands share rows of rates, and below full resolution the pixels between their outermost
    // cells: as few bands as keep the workers busy. At full resolution more, so that an uneven share costs
    // little.
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

// Random words and masks of cells [first, first + count) of one mask; `words` holds four rows of kChunk or
// more.
template <typename T>
class Sampler {
 public:
  Sampler(const Shape& shape, const Sampling& sampling, const Rows<T>& rows)
      : rows_(rows),
        streams_(sampling.streams),
        masks_(shape.masks),
        samples_(shape.samples),
        antithetic_(sampling.antithetic),
        key_{static_cast<uint32_t>(sampling.rng[0]), static_cast<uint32_t>(sampling.rng[0] >> 32)},
        step_(static_cast<uint32_t>(sampling.rng[1])),
        inverse_temperature_(static_cast<T>(1.0 / sampling.temperature)) {}

  T inverse_temperature() const { return inverse_temperature_; }

  // Calls visit(sample, words of the cells, flip) for each sample in order.
  template <typename Visit>
  void for_each_sample(int64_t image, int64_t mask, int64_t first, int64_t count, uint32_t* words,
                       int64_t stride, Visit visit) const {
    const uint32_t stream = stream_word(streams_ ? streams_[image] : image, masks_, mask);
    const int64_t copies = antithetic_ ? 2 : 1;
    for (int64_t sample = 0; sample < samples_; ++sample) {
      const int64_t draw = sample / copies;
      if (sample % (4 * copies) == 0) {
        rows_.words(static_cast<uint32_t>(first), stream, static_cast<uint32_t>(draw / 4), step_, key_, count,
                    words, stride);
      }
      visit(sample, words + draw % 4 * stride, sample % copies ? 0xFFFFFFFFu : 0u);
    }
  }

 private:
  const Rows<T>& rows_;
  const int64_t* streams_;
  int64_t masks_, samples_;
  bool antithetic_;
  PhiloxKey key_;
  uint32_t step_;
  T inverse_temperature_;
};

template <typename T>
Rows<T> choose_rows(const RowChoice& choice) {
  if constexpr (sizeof(T) == 8) {
    return row_set().float64(choice);
  } else {
    return row_set().float32(choice);
  }
}

}  // namespace sdfido::cpu
