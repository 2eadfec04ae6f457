// The fused forward pass: one walk samples masks, or takes those given, upsamples, blends and penalises them.
#include "composites_pass.h"

namespace sdfido::cpu {
namespace {

// More than a core's own caches hold: then it does not pay to read lines before they are overwritten. Found on two
// cores of an AMD EPYC with 1 MiB of L2 each.
constexpr int64_t kStreamedBytes = int64_t{4} << 20;

template <typename Problem, typename T>
class ForwardPass : public CompositesPass<Problem, T> {
 public:
  ForwardPass(const Problem& problem, void* memory)
      : CompositesPass<Problem, T>(problem, memory, false),
        element_(element_size(problem.composite_format)),
        streamed_(s_.images * s_.masks * s_.samples * s_.channels * s_.pixels() * element_ >= kStreamedBytes) {}

  static size_t bytes(const Problem& problem) { return CompositesPass<Problem, T>::bytes(problem, false, true, false); }

  // Calls after(band) for each band when its composites are there.
  template <typename After>
  void run(Worker worker, After after) {
    if (s_.full_resolution()) {
      for_each_band(s_, worker, [&](Band band) { full_resolution(band), after(band); });
    } else {
      Stretch<T> stretch(scratch_, s_, true, false);
      stretch.fill(s_);
      for_each_band(s_, worker, [&](Band band) { low_resolution(stretch, band), after(band); });
    }
    finish_streams();
  }

  // Each row's sums go to their own place, so that composites_penalties can add them in one order.
  void penalties(Band band, double* shared) {
    for (int64_t mask = 0; mask < s_.masks; ++mask) {
      double* sums = shared + (band.image * s_.masks + mask) * s_.cell_rows * 2;
      this->for_each_rates_row(band.image, mask, band, [&](int64_t row, const T* rates, const T*, const T* below) {
        loops_.penalties(rates, below, sums + row * 2, s_.cell_columns);
      });
    }
  }

 private:
  using Base = CompositesPass<Problem, T>;
  using Base::buffers_, Base::p_, Base::loops_, Base::s_, Base::scratch_, Base::source_;
  using typename Base::Sample;

  void blend(int64_t offset, const T* masks, int64_t count) {
    if (!streamed_) {
      loops_.blend(buffers_.infill, buffers_.difference, masks, p_.composites, offset, s_.pixels(), s_.channels, count);
      return;
    }
    loops_.blend(buffers_.infill, buffers_.difference, masks, buffers_.composites, 0, count, s_.channels, count);
    const char* from = reinterpret_cast<const char*>(buffers_.composites);
    char* to = static_cast<char*>(p_.composites) + offset * element_;
    // Channels-last, all channels lie in one piece.
    const int64_t pieces = p_.channels_last ? 1 : s_.channels;
    const int64_t bytes = s_.channels / pieces * count * element_;
    for (int64_t piece = 0; piece < pieces; ++piece)
      loops_.stream(from + piece * bytes, to + piece * s_.pixels() * element_, bytes);
  }

  void full_resolution(Band band) {
    const int64_t end = band.last * s_.width;
    for (int64_t begin = band.first * s_.width; begin < end; begin += kChunk) {
      const int64_t count = std::min(kChunk, end - begin);
      this->load(band.image, begin, count);
      for (int64_t mask = 0; mask < s_.masks; ++mask) {
        source_.for_each_sample(band.image, mask, begin, count, [&](const Sample& sample) {
          const T* masks = source_.masks(sample, buffers_.masks, count);
          blend(this->offset(band.image, mask, sample.index, begin), masks, count);
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

  const int64_t element_;
  const bool streamed_;
};

}  // namespace

size_t shared_bytes(const Shape& shape) {
  return static_cast<size_t>(shape.images * shape.masks * shape.cell_rows * 2) * sizeof(double);
}

size_t scratch_bytes(const CompositesForward& p) {
  return visit_type(p, [&](auto zero) { return ForwardPass<CompositesForward, decltype(zero)>::bytes(p); });
}

size_t scratch_bytes(const BlendForward& p) {
  return visit_type(p, [&](auto zero) { return ForwardPass<BlendForward, decltype(zero)>::bytes(p); });
}

void composites_forward(const CompositesForward& p, Worker worker, void* scratch, double* shared) {
  visit_type(p, [&](auto zero) {
    ForwardPass<CompositesForward, decltype(zero)> pass(p, scratch);
    pass.run(worker, [&](Band band) { pass.penalties(band, shared); });
  });
}

void composites_penalties(const CompositesForward& p, const double* shared) {
  visit_type(p, [&](auto zero) {
    using T = decltype(zero);
    const Shape& s = p.shape;
    for (int64_t plane = 0; plane < s.images * s.masks; ++plane) {
      double area = 0, change = 0;
      for (int64_t row = plane * s.cell_rows; row < (plane + 1) * s.cell_rows; ++row)
        area += shared[row * 2], change += shared[row * 2 + 1];
      static_cast<T*>(p.sparsity)[plane] = static_cast<T>(area / static_cast<double>(s.cells()));
      static_cast<T*>(p.smoothness)[plane] = static_cast<T>(change / static_cast<double>(s.cells()));
    }
  });
}

void blend_forward(const BlendForward& p, Worker worker, void* scratch) {
  visit_type(p, [&](auto zero) { ForwardPass<BlendForward, decltype(zero)>(p, scratch).run(worker, [](Band) {}); });
}

}  // namespace sdfido::cpu
