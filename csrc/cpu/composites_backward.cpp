// The fused backward pass: gradients of what the masks come from and, where asked for, of image and infill, in one walk
// over the pixels. Sampled masks are sampled again.
#include "composites_pass.h"

namespace sdfido::cpu {
namespace {

template <typename T>
bool all_finite(const T* values, int64_t n) {
  int32_t finite = 1;
  for (int64_t i = 0; i < n; ++i) finite &= static_cast<int32_t>(values[i] - values[i] == T(0));
  return finite != 0;
}

template <typename Problem, typename T>
class BackwardPass : public CompositesPass<Problem, T> {
 public:
  BackwardPass(const Problem& problem, void* memory)
      : CompositesPass<Problem, T>(problem, memory, wants_image(problem)),
        image_too_(wants_image(problem)),
        masks_too_(Source::wants_gradient(problem)) {}

  static size_t bytes(const Problem& problem) {
    return CompositesPass<Problem, T>::bytes(problem, wants_image(problem), wants_image(problem),
                                             Source::wants_gradient(problem));
  }

  // Calls after(band) for each band when its gradients are there.
  template <typename After>
  void run(Worker worker, After after) {
    if (s_.full_resolution()) {
      for_each_band(s_, worker, [&](Band band) { full_resolution(band), after(band); });
    } else {
      Stretch<T> stretch(scratch_, s_, image_too_, masks_too_);
      stretch.fill(s_);
      for_each_band(s_, worker, [&](Band band) { low_resolution(stretch, band), after(band); });
    }
  }

  void penalties(Band band) {
    if (!p_.grad_sparsity && !p_.grad_smoothness) return;
    const T cells = static_cast<T>(s_.cells());
    for (int64_t mask = 0; mask < s_.masks; ++mask) {
      const int64_t plane = band.image * s_.masks + mask;
      const auto share = [&](const void* grad) { return grad ? static_cast<const T*>(grad)[plane] / cells : T(0); };
      const T sparsity = share(p_.grad_sparsity), smoothness = share(p_.grad_smoothness);
      this->for_each_rates_row(
          band.image, mask, band, [&](int64_t row, const T* rates, const T* above, const T* below) {
            loops_.add_penalty_gradient(above, rates, below, sparsity, smoothness,
                                        source_.gradient(band.image, mask, row * s_.cell_columns), s_.cell_columns);
          });
    }
  }

 private:
  using Base = CompositesPass<Problem, T>;
  using Base::buffers_, Base::p_, Base::loops_, Base::s_, Base::scratch_, Base::source_;
  using typename Base::Sample, typename Base::Source;

  static bool wants_image(const Problem& problem) { return problem.grad_image || problem.grad_infill; }

  void project(int64_t offset, T* out, int64_t count) {
    loops_.project(p_.grad_composites, offset, s_.pixels(), buffers_.difference, out, s_.channels, count);
  }

  void clear_image_gradients(int64_t count) {
    std::fill_n(buffers_.image_sum, s_.channels * count, T(0));
    std::fill_n(buffers_.infill_sum, s_.channels * count, T(0));
  }

  void add_image_gradients(int64_t offset, const T* masks, int64_t count) {
    loops_.add_image_gradients(p_.grad_composites, offset, s_.pixels(), masks, buffers_.image_sum, buffers_.infill_sum,
                               s_.channels, count);
  }

  void store_image_gradients(int64_t image, int64_t begin, int64_t count) {
    if (p_.grad_image) store_pixels(buffers_.image_sum, image, begin, count, p_.grad_image);
    if (p_.grad_infill) store_pixels(buffers_.infill_sum, image, begin, count, p_.grad_infill);
  }

  void store_pixels(const T* values, int64_t image, int64_t begin, int64_t count, void* out) {
    for (int64_t c = 0; c < s_.channels; ++c) {
      loops_.store_image(values + (p_.channels_last ? c : c * count), p_.channels_last ? s_.channels : 1, out,
                         (image * s_.channels + c) * s_.pixels() + begin, count);
    }
  }

  void full_resolution(Band band) {
    const int64_t end = band.last * s_.width;
    for (int64_t begin = band.first * s_.width; begin < end; begin += kChunk) {
      const int64_t count = std::min(kChunk, end - begin);
      this->load(band.image, begin, count);
      if (image_too_) clear_image_gradients(count);
      for (int64_t mask = 0; mask < s_.masks; ++mask) {
        source_.begin_gradient(band.image, mask, begin, count);
        if (!p_.grad_composites) continue;
        source_.for_each_sample(band.image, mask, begin, count, [&](const Sample& sample) {
          const int64_t offset = this->offset(band.image, mask, sample.index, begin);
          if (masks_too_) {
            T* gradient = source_.gradient_memory(sample, band.image, mask, begin, buffers_.pixels);
            project(offset, gradient, count);
            source_.add_gradient(sample, band.image, mask, begin, gradient, count);
          }
          if (image_too_) add_image_gradients(offset, source_.masks(sample, buffers_.masks, count), count);
        });
        source_.finish_gradient(band.image, mask, begin, count);
      }
      if (image_too_) store_image_gradients(band.image, begin, count);
    }
  }

  void low_resolution(const Stretch<T>& stretch, Band band) {
    if (masks_too_) std::fill_n(stretch.gradients, 2 * s_.masks * s_.samples * s_.width, T(0));
    if (image_too_) this->stretch_row(stretch, band.image, band.first);
    // The row of cells above the band shares pixels with the band's first one.
    const int64_t begin = masks_too_ ? std::max<int64_t>(band.first - 1, 0) : band.first;
    for (int64_t cell_row = begin; cell_row < band.last; ++cell_row) {
      const bool own = cell_row >= band.first, next = cell_row + 1 < band.last;
      if (image_too_ && own && cell_row + 1 < s_.cell_rows) this->stretch_row(stretch, band.image, cell_row + 1);
      for (int64_t y = stretch.row_start[cell_row]; y < stretch.row_start[cell_row + 1]; ++y) {
        const T weight = source_cell<T>(y, s_.cell_rows, s_.height).weight;
        this->load(band.image, y * s_.width, s_.width);
        if (image_too_ && own) clear_image_gradients(s_.width);
        for (int64_t mask = 0; p_.grad_composites && mask < s_.masks; ++mask) {
          for (int64_t sample = 0; sample < s_.samples; ++sample) {
            const int64_t offset = this->offset(band.image, mask, sample, y * s_.width);
            if (masks_too_) {
              project(offset, buffers_.pixels, s_.width);
              const auto add_to = [&](int64_t row, T scale) {
                loops_.add_scaled(buffers_.pixels, scale, Stretch<T>::slot(stretch.gradients, s_, mask, sample, row),
                                  s_.width);
              };
              if (own) add_to(cell_row, T(1) - weight);
              if (next) add_to(cell_row + 1, weight);
            }
            if (image_too_ && own)
              add_image_gradients(offset, this->mask_row(stretch, mask, sample, cell_row, weight), s_.width);
          }
        }
        if (image_too_ && own) store_image_gradients(band.image, y * s_.width, s_.width);
      }
      if (masks_too_ && own) finish_row(stretch, band.image, cell_row);
    }
  }

  // Gathers a row of cells whose pixels have all been added, and makes its place ready for the next row but one.
  void finish_row(const Stretch<T>& stretch, int64_t image, int64_t cell_row) {
    const int64_t first = cell_row * s_.cell_columns, count = s_.cell_columns;
    for (int64_t mask = 0; mask < s_.masks; ++mask) {
      source_.begin_gradient(image, mask, first, count);
      source_.for_each_sample(image, mask, first, count, [&](const Sample& sample) {
        T* row = Stretch<T>::slot(stretch.gradients, s_, mask, sample.index, cell_row);
        T* gradient = source_.gradient_memory(sample, image, mask, first, buffers_.sum);
        loops_.gather_columns(row, stretch.tap_start, stretch.tap_weights, stretch.taps, gradient, count);
        if (!all_finite(row, s_.width)) stretch.gather_exactly(row, gradient, s_);
        source_.add_gradient(sample, image, mask, first, gradient, count);
        std::fill_n(row, s_.width, T(0));
      });
      source_.finish_gradient(image, mask, first, count);
    }
  }

  const bool image_too_, masks_too_;
};

}  // namespace

size_t scratch_bytes(const CompositesBackward& p) {
  return visit_type(p, [&](auto zero) { return BackwardPass<CompositesBackward, decltype(zero)>::bytes(p); });
}

size_t scratch_bytes(const BlendBackward& p) {
  return visit_type(p, [&](auto zero) { return BackwardPass<BlendBackward, decltype(zero)>::bytes(p); });
}

void composites_backward(const CompositesBackward& p, Worker worker, void* scratch) {
  visit_type(p, [&](auto zero) {
    BackwardPass<CompositesBackward, decltype(zero)> pass(p, scratch);
    pass.run(worker, [&](Band band) { pass.penalties(band); });
  });
}

void blend_backward(const BlendBackward& p, Worker worker, void* scratch) {
  visit_type(p, [&](auto zero) { BackwardPass<BlendBackward, decltype(zero)>(p, scratch).run(worker, [](Band) {}); });
}

}  // namespace sdfido::cpu
