// The fused passes: masks sampled, upsampled, blended and penalised in one walk over the pixels, and its
// gradient in another. Full resolution goes chunk by chunk over the pixels; smaller masks go row by row over
// their cells.
#include "../math/upsample.h"
#include "sampler.h"

namespace sdfido::cpu {
namespace {

template <typename T, typename Problem>
Rows<T> rows_for(const Problem& p) {
  return choose_rows<T>({power_of(p.sampling.temperature), p.image_format, p.composite_format,
                         p.channels_last, p.shape.channels});
}

// Arrays for `count` pixels of all channels and `cells` cells.
template <typename T>
struct Buffers {
  int64_t words_stride;
  uint32_t* words;
  T *prepared, *masks, *pixels, *sum, *infill, *difference, *image_sum, *infill_sum, *rates, *composites;

  Buffers(Scratch& scratch, const Shape& shape, int64_t cells, int64_t count, bool image_gradients)
      : words_stride((cells + kWordsAlign - 1) / kWordsAlign * kWordsAlign),
        words(scratch.take<uint32_t>(4 * words_stride)),
        prepared(scratch.take<T>(cells)),
        masks(scratch.take<T>(std::max(cells, count))),
        pixels(scratch.take<T>(count)),
        sum(scratch.take<T>(cells)),
        infill(scratch.take<T>(shape.channels * count)),
        difference(scratch.take<T>(shape.channels * count)),
        image_sum(scratch.take<T>(image_gradients ? shape.channels * count : 0)),
        infill_sum(scratch.take<T>(image_gradients ? shape.channels * count : 0)),
        rates(scratch.take<T>(3 * shape.cell_columns)),
        composites(scratch.take<T>(shape.channels * count)) {}
};

// Bilinear tables of one image size, and two rows of every sample: stretched masks (forward), gathered
// gradients.
template <typename T>
struct Stretch {
  int32_t *first, *second, *row_start, *tap_start;
  T *weight, *tap_weights, *rows, *gradients;
  int64_t taps;

  static int64_t count_taps(const Shape& shape) {
    // A cell is read by the pixels less than one cell away; the outermost cells also by those beyond, half a
    // cell.
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
      // Pixels before the first cell's centre read that cell alone: they come before the second cell's
      // window.
      while (begin < s.width &&
             (first[begin] + 1 < cell || (first[begin] + 1 == cell && weight[begin] == T(0))))
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

  static T* slot(T* rows, const Shape& s, int64_t mask, int64_t sample, int64_t cell_row) {
    return rows + ((mask * s.samples + sample) * 2 + cell_row % 2) * s.width;
  }
};

// Loads pixels [begin, begin + count) of an input of any layout into a local buffer.
template <typename T>
void load_pixels(const Rows<T>& rows, const StridedInput& input, const Shape& s, bool channels_last,
                 int64_t image, int64_t begin, int64_t count, T* out) {
  const int64_t* stride = input.strides;
  const int64_t run_limit = stride[2] == s.width * stride[3] ? count : s.width;
  const int64_t step = channels_last ? s.channels : 1;
  for (int64_t c = 0; c < s.channels; ++c) {
    T* to = out + (channels_last ? c : c * count);
    for (int64_t i = 0, run; i < count; i += run) {
      const int64_t y = (begin + i) / s.width, x = (begin + i) % s.width;
      run = std::min(run_limit == count ? count - i : s.width - x, count - i);
      rows.load_image(input.data, image * stride[0] + c * stride[1] + y * stride[2] + x * stride[3],
                      stride[3], to + i * step, step, run);
    }
  }
}

template <typename T>
void store_pixels(const Rows<T>& rows, const T* values, const Shape& s, bool channels_last, int64_t image,
                  int64_t begin, int64_t count, void* out) {
  for (int64_t c = 0; c < s.channels; ++c) {
    rows.store_image(values + (channels_last ? c : c * count), channels_last ? s.channels : 1, out,
                     (image * s.channels + c) * s.pixels() + begin, count);
  }
}

template <typename Problem, typename T>
class CompositePass {
 public:
  CompositePass(const Problem& problem, void* memory, bool image_gradients)
      : p_(problem),
        s_(problem.shape),
        rows_(rows_for<T>(problem)),
        sampler_(problem.shape, problem.sampling, rows_),
        scratch_(memory),
        buffers_(scratch_, s_, s_.full_resolution() ? kChunk : s_.cell_columns,
                 s_.full_resolution() ? kChunk : s_.width, image_gradients) {}

  static size_t bytes(const Problem& problem, bool image_gradients, bool need_rows, bool need_gradients) {
    CompositePass pass(problem, nullptr, image_gradients);
    if (!problem.shape.full_resolution()) Stretch<T>(pass.scratch_, problem.shape, need_rows, need_gradients);
    return pass.scratch_.used();
  }

 protected:
  const T* logits(int64_t image, int64_t mask, int64_t cell) const {
    return static_cast<const T*>(p_.logits) + (image * s_.masks + mask) * s_.cells() + cell;
  }

  // Offset of pixel `begin` of one sample's composite.
  int64_t offset(int64_t image, int64_t mask, int64_t sample, int64_t begin) const {
    const int64_t composite = (image * s_.masks + mask) * s_.samples + sample;
    return composite * s_.channels * s_.pixels() + begin * (p_.channels_last ? s_.channels : 1);
  }

  void load(int64_t image, int64_t begin, int64_t count) {
    load_pixels(rows_, p_.infill, s_, p_.channels_last, image, begin, count, buffers_.infill);
    load_pixels(rows_, p_.image, s_, p_.channels_last, image, begin, count, buffers_.difference);
    rows_.subtract(buffers_.infill, buffers_.difference, s_.channels * count);
  }

  // Samples one row of cells of all masks and stretches it to the image's width.
  void stretch_row(const Stretch<T>& stretch, int64_t image, int64_t cell_row) {
    const int64_t first = cell_row * s_.cell_columns;
    for (int64_t mask = 0; mask < s_.masks; ++mask) {
      rows_.prepare(logits(image, mask, first), buffers_.prepared, s_.cell_columns);
      sampler_.for_each_sample(image, mask, first, s_.cell_columns, buffers_.words, buffers_.words_stride,
                               [&](int64_t sample, const uint32_t* words, uint32_t flip) {
                                 rows_.masks(words, flip, buffers_.prepared, sampler_.inverse_temperature(),
                                             buffers_.masks, s_.cell_columns);
                                 rows_.interpolate_columns(
                                     buffers_.masks, stretch.first, stretch.second, stretch.weight,
                                     Stretch<T>::slot(stretch.rows, s_, mask, sample, cell_row), s_.width);
                               });
    }
  }

  // The stretched mask of one row of pixels between two rows of cells.
  const T* mask_row(const Stretch<T>& stretch, int64_t mask, int64_t sample, int64_t cell_row, T weight) {
    const T* first = Stretch<T>::slot(stretch.rows, s_, mask, sample, cell_row);
    if (cell_row + 1 == s_.cell_rows) return first;
    rows_.interpolate_rows(first, Stretch<T>::slot(stretch.rows, s_, mask, sample, cell_row + 1), weight,
                           buffers_.masks, s_.width);
    return buffers_.masks;
  }

  // Calls visit(rates, rates of the row above, of the row below; null at the edge) for each row of a band.
  template <typename Visit>
  void for_each_rates_row(int64_t image, int64_t mask, Band band, Visit visit) {
    const int64_t w = s_.cell_columns;
    const auto row_of = [&](int64_t row) { return buffers_.rates + row % 3 * w; };
    const auto fill = [&](int64_t row) { rows_.rates(logits(image, mask, row * w), row_of(row), w); };
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
  const Rows<T> rows_;
  const Sampler<T> sampler_;
  Scratch scratch_;
  const Buffers<T> buffers_;
};

template <typename T>
class ForwardPass : public CompositePass<CompositeForward, T> {
 public:
  ForwardPass(const CompositeForward& problem, void* memory)
      : CompositePass<CompositeForward, T>(problem, memory, false),
        element_(element_size(problem.composite_format)),
        streamed_(s_.images * s_.masks * s_.samples * s_.channels * s_.pixels() * element_ >=
                  kStreamedBytes) {}

  void run(Worker worker, double* shared) {
    if (s_.full_resolution()) {
      for_each_band(s_, worker, [&](Band band) { full_resolution(band), penalties(band, shared); });
    } else {
      Stretch<T> stretch(scratch_, s_, true, false);
      stretch.fill(s_);
      for_each_band(s_, worker, [&](Band band) { low_resolution(stretch, band), penalties(band, shared); });
    }
    finish_streams();
  }

 private:
  using Base = CompositePass<CompositeForward, T>;
  using Base::buffers_, Base::p_, Base::rows_, Base::s_, Base::sampler_, Base::scratch_;

  // More than a core's own caches hold: then it does not pay to read lines before they are overwritten.
  static constexpr int64_t kStreamedBytes = int64_t{4} << 20;

  void blend(int64_t offset, const T* masks, int64_t count) {
    if (!streamed_) {
      rows_.blend(buffers_.infill, buffers_.difference, masks, p_.composites, offset, s_.pixels(),
                  s_.channels, count);
      return;
    }
    rows_.blend(buffers_.infill, buffers_.difference, masks, buffers_.composites, 0, count, s_.channels,
                count);
    const char* from = reinterpret_cast<const char*>(buffers_.composites);
    char* to = static_cast<char*>(p_.composites) + offset * element_;
    // Channels-last, all channels lie in one piece.
    const int64_t pieces = p_.channels_last ? 1 : s_.channels;
    const int64_t bytes = s_.channels / pieces * count * element_;
    for (int64_t piece = 0; piece < pieces; ++piece)
      rows_.stream(from + piece * bytes, to + piece * s_.pixels() * element_, bytes);
  }

  void full_resolution(Band band) {
    const int64_t end = band.last * s_.width;
    for (int64_t begin = band.first * s_.width; begin < end; begin += kChunk) {
      const int64_t count = std::min(kChunk, end - begin);
      this->load(band.image, begin, count);
      for (int64_t mask = 0; mask < s_.masks; ++mask) {
        rows_.prepare(this->logits(band.image, mask, begin), buffers_.prepared, count);
        sampler_.for_each_sample(band.image, mask, begin, count, buffers_.words, buffers_.words_stride,
                                 [&](int64_t sample, const uint32_t* words, uint32_t flip) {
                                   rows_.masks(words, flip, buffers_.prepared, sampler_.inverse_temperature(),
                                               buffers_.masks, count);
                                   blend(this->offset(band.image, mask, sample, begin), buffers_.masks,
                                         count);
                                 });
      }
    }
  }

  void low_resolution(const Stretch<T>& stretch, Band band) {
    this->stretch_row(stretch, band.image, band.first);
    for (int64_t cell_row = band.first; cell_row < band.last; ++cell_row) {
      if (cell_row + 1 < s_.cell_rows) this->stretch_row(stretch, band.image, cell_row + 1);
      for (int64_t y = stretch.row_start[cell_row]; y < stretch.row_start[cell_row + 1]; ++y) {
        const T weight = source_cell<T>(y, s_.cell_rows, s_.height).weight;
        this->load(band.image, y * s_.width, s_.width);
        for (int64_t mask = 0; mask < s_.masks; ++mask)
          for (int64_t sample = 0; sample < s_.samples; ++sample)
            blend(this->offset(band.image, mask, sample, y * s_.width),
                  this->mask_row(stretch, mask, sample, cell_row, weight), s_.width);
      }
    }
  }

  // Each row's sums go to their own place, so that composite_penalties can add them in one order.
  void penalties(Band band, double* shared) {
    for (int64_t mask = 0; mask < s_.masks; ++mask) {
      double* sums = shared + (band.image * s_.masks + mask) * s_.cell_rows * 2;
      this->for_each_rates_row(band.image, mask, band,
                               [&](int64_t row, const T* rates, const T*, const T* below) {
                                 rows_.penalties(rates, below, sums + row * 2, s_.cell_columns);
                               });
    }
  }

  const int64_t element_;
  const bool streamed_;
};

template <typename T>
class BackwardPass : public CompositePass<CompositeBackward, T> {
 public:
  BackwardPass(const CompositeBackward& problem, void* memory)
      : CompositePass<CompositeBackward, T>(problem, memory, wants_image(problem)) {}

  static bool wants_image(const CompositeBackward& problem) {
    return problem.grad_image || problem.grad_infill;
  }

  void run(Worker worker) {
    if (s_.full_resolution()) {
      for_each_band(s_, worker, [&](Band band) { full_resolution(band), penalties(band); });
    } else {
      Stretch<T> stretch(scratch_, s_, wants_image(p_), true);
      stretch.fill(s_);
      for_each_band(s_, worker, [&](Band band) { low_resolution(stretch, band), penalties(band); });
    }
  }

 private:
  using Base = CompositePass<CompositeBackward, T>;
  using Base::buffers_, Base::p_, Base::rows_, Base::s_, Base::sampler_, Base::scratch_;

  T* grad_logits(int64_t image, int64_t mask, int64_t cell) const {
    return static_cast<T*>(p_.grad_logits) + (image * s_.masks + mask) * s_.cells() + cell;
  }

  void project(int64_t offset, int64_t count) {
    rows_.project(p_.grad_composites, offset, s_.pixels(), buffers_.difference, buffers_.pixels, s_.channels,
                  count);
  }

  void clear_image_gradients(int64_t count) {
    std::fill_n(buffers_.image_sum, s_.channels * count, T(0));
    std::fill_n(buffers_.infill_sum, s_.channels * count, T(0));
  }

  void add_image_gradients(int64_t offset, const T* masks, int64_t count) {
    rows_.add_image_gradients(p_.grad_composites, offset, s_.pixels(), masks, buffers_.image_sum,
                              buffers_.infill_sum, s_.channels, count);
  }

  void store_image_gradients(int64_t image, int64_t begin, int64_t count) {
    if (p_.grad_image)
      store_pixels(rows_, buffers_.image_sum, s_, p_.channels_last, image, begin, count, p_.grad_image);
    if (p_.grad_infill)
      store_pixels(rows_, buffers_.infill_sum, s_, p_.channels_last, image, begin, count, p_.grad_infill);
  }

  void full_resolution(Band band) {
    const bool image_too = wants_image(p_);
    const int64_t end = band.last * s_.width;
    for (int64_t begin = band.first * s_.width; begin < end; begin += kChunk) {
      const int64_t count = std::min(kChunk, end - begin);
      this->load(band.image, begin, count);
      if (image_too) clear_image_gradients(count);
      for (int64_t mask = 0; mask < s_.masks; ++mask) {
        T* sum = grad_logits(band.image, mask, begin);
        std::fill_n(sum, count, T(0));
        if (!p_.grad_composites) continue;
        rows_.prepare(this->logits(band.image, mask, begin), buffers_.prepared, count);
        sampler_.for_each_sample(band.image, mask, begin, count, buffers_.words, buffers_.words_stride,
                                 [&](int64_t sample, const uint32_t* words, uint32_t flip) {
                                   const int64_t offset = this->offset(band.image, mask, sample, begin);
                                   const T inverse_temperature = sampler_.inverse_temperature();
                                   project(offset, count);
                                   rows_.add_slopes(words, flip, buffers_.prepared, inverse_temperature,
                                                    buffers_.pixels, sum, count);
                                   if (image_too) {
                                     rows_.masks(words, flip, buffers_.prepared, inverse_temperature,
                                                 buffers_.masks, count);
                                     add_image_gradients(offset, buffers_.masks, count);
                                   }
                                 });
        rows_.scale(sum, sampler_.inverse_temperature(), count);
      }
      if (image_too) store_image_gradients(band.image, begin, count);
    }
  }

  void low_resolution(const Stretch<T>& stretch, Band band) {
    const bool image_too = wants_image(p_);
    std::fill_n(stretch.gradients, 2 * s_.masks * s_.samples * s_.width, T(0));
    if (image_too) this->stretch_row(stretch, band.image, band.first);
    // The row of cells above the band shares pixels with the band's first one.
    for (int64_t cell_row = std::max<int64_t>(band.first - 1, 0); cell_row < band.last; ++cell_row) {
      const bool own = cell_row >= band.first, next = cell_row + 1 < band.last;
      if (image_too && own && cell_row + 1 < s_.cell_rows)
        this->stretch_row(stretch, band.image, cell_row + 1);
      for (int64_t y = stretch.row_start[cell_row]; y < stretch.row_start[cell_row + 1]; ++y) {
        const T weight = source_cell<T>(y, s_.cell_rows, s_.height).weight;
        this->load(band.image, y * s_.width, s_.width);
        if (image_too && own) clear_image_gradients(s_.width);
        for (int64_t mask = 0; p_.grad_composites && mask < s_.masks; ++mask) {
          for (int64_t sample = 0; sample < s_.samples; ++sample) {
            const int64_t offset = this->offset(band.image, mask, sample, y * s_.width);
            project(offset, s_.width);
            const auto add_to = [&](int64_t row, T scale) {
              rows_.add_scaled(buffers_.pixels, scale,
                               Stretch<T>::slot(stretch.gradients, s_, mask, sample, row), s_.width);
            };
            if (own) add_to(cell_row, T(1) - weight);
            if (next) add_to(cell_row + 1, weight);
            if (image_too && own)
              add_image_gradients(offset, this->mask_row(stretch, mask, sample, cell_row, weight), s_.width);
          }
        }
        if (image_too && own) store_image_gradients(band.image, y * s_.width, s_.width);
      }
      if (own) finish_row(stretch, band.image, cell_row);
    }
  }

  // Gathers a row of cells whose pixels have all been added, and makes its place ready for the next row but
  // one.
  void finish_row(const Stretch<T>& stretch, int64_t image, int64_t cell_row) {
    const int64_t first = cell_row * s_.cell_columns, count = s_.cell_columns;
    for (int64_t mask = 0; mask < s_.masks; ++mask) {
      T* sum = grad_logits(image, mask, first);
      std::fill_n(sum, count, T(0));
      rows_.prepare(this->logits(image, mask, first), buffers_.prepared, count);
      sampler_.for_each_sample(image, mask, first, count, buffers_.words, buffers_.words_stride,
                               [&](int64_t sample, const uint32_t* words, uint32_t flip) {
                                 T* gradient =
                                     Stretch<T>::slot(stretch.gradients, s_, mask, sample, cell_row);
                                 rows_.gather_columns(gradient, stretch.tap_start, stretch.tap_weights,
                                                      stretch.taps, buffers_.sum, count);
                                 rows_.add_slopes(words, flip, buffers_.prepared,
                                                  sampler_.inverse_temperature(), buffers_.sum, sum, count);
                                 std::fill_n(gradient, s_.width, T(0));
                               });
      rows_.scale(sum, sampler_.inverse_temperature(), count);
    }
  }

  void penalties(Band band) {
    if (!p_.grad_sparsity && !p_.grad_smoothness) return;
    const T cells = static_cast<T>(s_.cells());
    for (int64_t mask = 0; mask < s_.masks; ++mask) {
      const int64_t plane = band.image * s_.masks + mask;
      const auto share = [&](const void* grad) {
        return grad ? static_cast<const T*>(grad)[plane] / cells : T(0);
      };
      const T sparsity = share(p_.grad_sparsity), smoothness = share(p_.grad_smoothness);
      this->for_each_rates_row(
          band.image, mask, band, [&](int64_t row, const T* rates, const T* above, const T* below) {
            rows_.add_penalty_gradient(above, rates, below, sparsity, smoothness,
                                       grad_logits(band.image, mask, row * s_.cell_columns), s_.cell_columns);
          });
    }
  }
};

template <typename T>
void finish_penalties(const CompositeForward& p, const double* shared) {
  const Shape& s = p.shape;
  for (int64_t plane = 0; plane < s.images * s.masks; ++plane) {
    double area = 0, change = 0;
    for (int64_t row = plane * s.cell_rows; row < (plane + 1) * s.cell_rows; ++row)
      area += shared[row * 2], change += shared[row * 2 + 1];
    static_cast<T*>(p.sparsity)[plane] = static_cast<T>(area / static_cast<double>(s.cells()));
    static_cast<T*>(p.smoothness)[plane] = static_cast<T>(change / static_cast<double>(s.cells()));
  }
}

template <typename Problem>
bool is_float64(const Problem& problem) {
  return problem.composite_format == Format::kFloat64;
}

}  // namespace

size_t shared_bytes(const Shape& shape) {
  return static_cast<size_t>(shape.images * shape.masks * shape.cell_rows * 2) * sizeof(double);
}

size_t scratch_bytes(const CompositeForward& p) {
  return is_float64(p) ? CompositePass<CompositeForward, double>::bytes(p, false, true, false)
                       : CompositePass<CompositeForward, float>::bytes(p, false, true, false);
}

size_t scratch_bytes(const CompositeBackward& p) {
  const bool image_too = BackwardPass<float>::wants_image(p);
  return is_float64(p) ? CompositePass<CompositeBackward, double>::bytes(p, image_too, image_too, true)
                       : CompositePass<CompositeBackward, float>::bytes(p, image_too, image_too, true);
}

void composite_forward(const CompositeForward& p, Worker worker, void* scratch, double* shared) {
  is_float64(p) ? ForwardPass<double>(p, scratch).run(worker, shared)
                : ForwardPass<float>(p, scratch).run(worker, shared);
}

void composite_penalties(const CompositeForward& p, const double* shared) {
  is_float64(p) ? finish_penalties<double>(p, shared) : finish_penalties<float>(p, shared);
}

void composite_backward(const CompositeBackward& p, Worker worker, void* scratch) {
  is_float64(p) ? BackwardPass<double>(p, scratch).run(worker) : BackwardPass<float>(p, scratch).run(worker);
}

}  // namespace sdfido::cpu
