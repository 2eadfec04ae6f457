// What the forward and the backward pass over composites share. Full resolution goes chunk by chunk over the pixels;
// smaller masks go row by row over their cells.
#pragma once
#include "bands.h"
#include "mask_source.h"
#include "stretch.h"

namespace sdfido::cpu {

template <typename T, typename Problem>
Loops<T> loops_for(const Problem& p) {
  int power = 1;
  if constexpr (Problem::kSampled) power = power_of(p.sampling.temperature);
  return choose_loops<T>({power, p.image_format, p.composite_format, p.channels_last, p.shape.channels});
}

// Arrays for `count` pixels of all channels and `cells` cells.
template <typename T>
struct Buffers {
  T *masks, *pixels, *sum, *infill, *difference, *image_sum, *infill_sum, *rates, *composites;

  Buffers(Scratch& scratch, const Shape& shape, int64_t cells, int64_t count, bool image_gradients)
      : masks(scratch.take<T>(std::max(cells, count))),
        pixels(scratch.take<T>(count)),
        sum(scratch.take<T>(cells)),
        infill(scratch.take<T>(shape.channels * count)),
        difference(scratch.take<T>(shape.channels * count)),
        image_sum(scratch.take<T>(image_gradients ? shape.channels * count : 0)),
        infill_sum(scratch.take<T>(image_gradients ? shape.channels * count : 0)),
        rates(scratch.take<T>(3 * shape.cell_columns)),
        composites(scratch.take<T>(shape.channels * count)) {}
};

template <typename Problem, typename T>
class CompositesPass {
 public:
  CompositesPass(const Problem& problem, void* memory, bool image_gradients)
      : p_(problem),
        s_(problem.shape),
        loops_(loops_for<T>(problem)),
        scratch_(memory),
        source_(problem, loops_, scratch_, s_.full_resolution() ? kChunk : s_.cell_columns),
        buffers_(scratch_, s_, s_.full_resolution() ? kChunk : s_.cell_columns,
                 s_.full_resolution() ? kChunk : s_.width, image_gradients) {}

  static size_t bytes(const Problem& problem, bool image_gradients, bool need_rows, bool need_gradients) {
    CompositesPass pass(problem, nullptr, image_gradients);
    if (!problem.shape.full_resolution()) Stretch<T>(pass.scratch_, problem.shape, need_rows, need_gradients);
    return pass.scratch_.used();
  }

 protected:
  using Source = MaskSource<Problem, T>;
  using Sample = typename Source::Sample;

  // Offset of pixel `begin` of one sample's composite.
  int64_t offset(int64_t image, int64_t mask, int64_t sample, int64_t begin) const {
    const int64_t composite = (image * s_.masks + mask) * s_.samples + sample;
    return composite * s_.channels * s_.pixels() + begin * (p_.channels_last ? s_.channels : 1);
  }

  // Infill, and image - infill, of pixels [begin, begin + count).
  void load(int64_t image, int64_t begin, int64_t count) {
    load_pixels(p_.infill, image, begin, count, buffers_.infill);
    load_pixels(p_.image, image, begin, count, buffers_.difference);
    loops_.subtract(buffers_.infill, buffers_.difference, s_.channels * count);
  }

  // Stretches one row of cells of all masks to the image's width.
  void stretch_row(const Stretch<T>& stretch, int64_t image, int64_t cell_row) {
    const int64_t columns = s_.cell_columns;
    for (int64_t mask = 0; mask < s_.masks; ++mask) {
      source_.for_each_sample(image, mask, cell_row * columns, columns, [&](const Sample& sample) {
        loops_.interpolate_columns(source_.masks(sample, buffers_.masks, columns), stretch.first, stretch.second,
                                   stretch.weight, Stretch<T>::slot(stretch.rows, s_, mask, sample.index, cell_row),
                                   s_.width);
      });
    }
  }

  // The stretched mask of one row of pixels between two rows of cells, the last of which stands for the one after it.
  const T* mask_row(const Stretch<T>& stretch, int64_t mask, int64_t sample, int64_t cell_row, T weight) {
    const T* first = Stretch<T>::slot(stretch.rows, s_, mask, sample, cell_row);
    const bool last = cell_row + 1 == s_.cell_rows;
    // What is sampled is never -0, the one number that interpolation between equals changes.
    if (last && Problem::kSampled) return first;
    const T* second = last ? first : Stretch<T>::slot(stretch.rows, s_, mask, sample, cell_row + 1);
    loops_.interpolate_rows(first, second, weight, buffers_.masks, s_.width);
    return buffers_.masks;
  }

  // Calls visit(row, rates, rates of the row above, of the row below; null at the edge) for each row of a band.
  template <typename Visit>
  void for_each_rates_row(int64_t image, int64_t mask, Band band, Visit visit) {
    const int64_t w = s_.cell_columns;
    const auto row_of = [&](int64_t row) { return buffers_.rates + row % 3 * w; };
    const auto fill = [&](int64_t row) { loops_.rates(source_.logits(image, mask, row * w), row_of(row), w); };
    if (band.first > 0) fill(band.first - 1);
    fill(band.first);
    for (int64_t row = band.first; row < band.last; ++row) {
      const bool below = row + 1 < s_.cell_rows;
      if (below) fill(row + 1);
      visit(row, row_of(row), row > 0 ? row_of(row - 1) : nullptr, below ? row_of(row + 1) : nullptr);
    }
  }

  const Problem& p_;
  const Shape& s_;
  const Loops<T> loops_;
  Scratch scratch_;
  const Source source_;
  const Buffers<T> buffers_;

 private:
  void load_pixels(const StridedInput& input, int64_t image, int64_t begin, int64_t count, T* out) {
    const int64_t* strides = input.strides;
    const int64_t step = p_.channels_last ? s_.channels : 1;
    for (int64_t c = 0; c < s_.channels; ++c) {
      T* to = out + (p_.channels_last ? c : c * count);
      for_each_run(strides + 2, s_.width, begin, count, [&](int64_t i, int64_t y, int64_t x, int64_t length) {
        loops_.load_image(input.data, image * strides[0] + c * strides[1] + y * strides[2] + x * strides[3], strides[3],
                          to + i * step, step, length);
      });
    }
  }
};

// Calls visit(T{}) for the type of a problem's arithmetic.
template <typename Visit>
auto visit_type(const Blending& problem, Visit visit) {
  return problem.composite_format == Format::kFloat64 ? visit(double{}) : visit(float{});
}

}  // namespace sdfido::cpu
