// The walk over the random words of a mask's samples.
#pragma once
#include "loops.h"

namespace sdfido::cpu {

// Random words and masks of cells [first, first + count) of one mask; `words` holds four rows of `stride` words.
template <typename T>
class Sampler {
 public:
  Sampler(const Shape& shape, const Sampling& sampling, const Loops<T>& loops)
      : loops_(loops),
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
  void for_each_sample(int64_t image, int64_t mask, int64_t first, int64_t count, uint32_t* words, int64_t stride,
                       Visit visit) const {
    const uint32_t stream = stream_word(streams_ ? streams_[image] : image, masks_, mask);
    const int64_t copies = antithetic_ ? 2 : 1;
    for (int64_t sample = 0; sample < samples_; ++sample) {
      const int64_t draw = sample / copies;
      if (sample % (4 * copies) == 0) {
        loops_.words(static_cast<uint32_t>(first), stream, static_cast<uint32_t>(draw / 4), step_, key_, count, words,
                     stride);
      }
      visit(sample, words + draw % 4 * stride, sample % copies ? 0xFFFFFFFFu : 0u);
    }
  }

 private:
  const Loops<T>& loops_;
  const int64_t* streams_;
  int64_t masks_, samples_;
  bool antithetic_;
  PhiloxKey key_;
  uint32_t step_;
  T inverse_temperature_;
};

template <typename T>
Loops<T> choose_loops(const LoopChoice& choice) {
  if constexpr (sizeof(T) == 8) {
    return loop_set().float64(choice);
  } else {
    return loop_set().float32(choice);
  }
}

}  // namespace sdfido::cpu
