// Where a fused pass takes its masks from, and where it puts their gradient: two classes with the same members.
#pragma once
#include <algorithm>
#include <type_traits>

#include "sampler.h"
#include "scratch.h"

namespace sdfido::cpu {

// Calls visit(i, row, column, length) for pieces of the pixels (or cells) [begin, begin + count) of a plane that lie in
// a row of memory, elements `strides[1]` apart; i counts from 0.
template <typename Visit>
void for_each_run(const int64_t* strides, int64_t width, int64_t begin, int64_t count, Visit visit) {
  const bool whole = strides[0] == width * strides[1];
  for (int64_t i = 0, length; i < count; i += length) {
    const int64_t row = (begin + i) / width, column = (begin + i) % width;
    length = std::min(whole ? count - i : width - column, count - i);
    visit(i, row, column, length);
  }
}

// Sampled from logits. Only the backward pass has a gradient of them.
template <typename Problem, typename T>
class SampledMasks {
 public:
  struct Sample {
    int64_t index;
    const uint32_t* words;
    uint32_t flip;
  };

  SampledMasks(const Problem& problem, const Loops<T>& loops, Scratch& scratch, int64_t cells)
      : p_(problem),
        loops_(loops),
        sampler_(problem.shape, problem.sampling, loops),
        words_stride_((cells + kWordsAlign - 1) / kWordsAlign * kWordsAlign),
        words_(scratch.take<uint32_t>(4 * words_stride_)),
        prepared_(scratch.take<T>(cells)) {}

  static constexpr bool wants_gradient(const Problem&) { return true; }

  // Calls visit(sample) for each sample of one mask in order; all members are about its cells [first, first + count).
  template <typename Visit>
  void for_each_sample(int64_t image, int64_t mask, int64_t first, int64_t count, Visit visit) const {
    loops_.prepare(logits(image, mask, first), prepared_, count);
    sampler_.for_each_sample(
        image, mask, first, count, words_, words_stride_,
        [&](int64_t index, const uint32_t* words, uint32_t flip) { visit(Sample{index, words, flip}); });
  }

  // The sample's masks, in `memory` unless they are to be had elsewhere.
  const T* masks(const Sample& sample, T* memory, int64_t count) const {
    loops_.masks(sample.words, sample.flip, prepared_, sampler_.inverse_temperature(), memory, count);
    return memory;
  }

  const T* logits(int64_t image, int64_t mask, int64_t cell) const {
    return static_cast<const T*>(p_.logits) + plane(image, mask) + cell;
  }

  // Before the samples and after them.
  void begin_gradient(int64_t image, int64_t mask, int64_t first, int64_t count) const {
    std::fill_n(gradient(image, mask, first), count, T(0));
  }
  void finish_gradient(int64_t image, int64_t mask, int64_t first, int64_t count) const {
    loops_.scale(gradient(image, mask, first), sampler_.inverse_temperature(), count);
  }

  // Where the gradient of a sample's masks is to be put, and what is to be done when it is there.
  T* gradient_memory(const Sample&, int64_t, int64_t, int64_t, T* memory) const { return memory; }
  void add_gradient(const Sample& sample, int64_t image, int64_t mask, int64_t first, const T* values,
                    int64_t count) const {
    loops_.add_slopes(sample.words, sample.flip, prepared_, sampler_.inverse_temperature(), values,
                      gradient(image, mask, first), count);
  }

  // Of the logits.
  T* gradient(int64_t image, int64_t mask, int64_t cell) const {
    return static_cast<T*>(p_.grad_logits) + plane(image, mask) + cell;
  }

 private:
  int64_t plane(int64_t image, int64_t mask) const { return (image * p_.shape.masks + mask) * p_.shape.cells(); }

  const Problem& p_;
  const Loops<T>& loops_;
  const Sampler<T> sampler_;
  int64_t words_stride_;
  uint32_t* words_;
  T* prepared_;
};

// Given, in any layout.
template <typename Problem, typename T>
class GivenMasks {
 public:
  struct Sample {
    int64_t index;
    int64_t offset;  // of the plane of cells
    int64_t first;
  };

  GivenMasks(const Problem& problem, const Loops<T>& loops, Scratch&, int64_t) : p_(problem), loops_(loops) {}

  static bool wants_gradient(const Problem& problem) { return problem.grad_masks; }

  template <typename Visit>
  void for_each_sample(int64_t image, int64_t mask, int64_t first, int64_t, Visit visit) const {
    const int64_t* strides = p_.masks.strides;
    for (int64_t index = 0; index < p_.shape.samples; ++index)
      visit(Sample{index, image * strides[0] + mask * strides[1] + index * strides[2], first});
  }

  const T* masks(const Sample& sample, T* memory, int64_t count) const {
    const T* const plane = static_cast<const T*>(p_.masks.data) + sample.offset;
    const int64_t* strides = p_.masks.strides + 3;
    const int64_t width = p_.shape.cell_columns;
    const bool whole = strides[0] == width || sample.first / width == (sample.first + count - 1) / width;
    if (strides[1] == 1 && whole) return plane + sample.first / width * strides[0] + sample.first % width;
    for_each_run(strides, width, sample.first, count, [&](int64_t i, int64_t row, int64_t column, int64_t length) {
      loops_.load_masks(plane, row * strides[0] + column * strides[1], strides[1], memory + i, 1, length);
    });
    return memory;
  }

  void begin_gradient(int64_t, int64_t, int64_t, int64_t) const {}
  void finish_gradient(int64_t, int64_t, int64_t, int64_t) const {}

  // The gradient of a sample's masks is what is wanted, and goes there at once.
  T* gradient_memory(const Sample& sample, int64_t image, int64_t mask, int64_t first, T*) const {
    const int64_t plane = (image * p_.shape.masks + mask) * p_.shape.samples + sample.index;
    return static_cast<T*>(p_.grad_masks) + plane * p_.shape.cells() + first;
  }
  void add_gradient(const Sample&, int64_t, int64_t, int64_t, const T*, int64_t) const {}

 private:
  const Problem& p_;
  const Loops<T>& loops_;
};

template <typename Problem, typename T>
using MaskSource = std::conditional_t<Problem::kSampled, SampledMasks<Problem, T>, GivenMasks<Problem, T>>;

}  // namespace sdfido::cpu
