// Where a block takes its masks from: sampled from logits, or given. TileMasks has them at full resolution, CellMasks
// below it; of both there is one for problems of either kind, with the same members.
#pragma once
#include <type_traits>

#include "tile.cuh"

namespace sdfido::cuda {

struct Nothing {};

// What only sampling needs.
template <typename Problem, typename Needed>
using IfSampled = std::conditional_t<Problem::kSampled, Needed, Nothing>;

// Sampled masks of kDraws samples, four or one, for a block's cells, in shared memory. Thread i computes cells
// i, i + kThreads, ... alone; others read them where they are kShared. A visit may wait for the others after it has read
// them.
template <typename T, int kCells, int kDraws, bool kShared, bool kVisitWaits = false>
struct MaskWindow {
  alignas(16) T masks[kDraws][kCells];
  T prepared[kCells];

  // All threads: calls visit(sample, its mask of all cells) for the block's samples of one mask; cell i has the number
  // number(i) in its mask.
  template <typename Problem, typename Number, typename Visit>
  __device__ __forceinline__ void for_each_sample(const CompositesPlan<Problem>& plan, const Place& place,
                                                  const RandomState& random, int count, int mask, Number number,
                                                  Visit visit) {
    const bool pairs = plan.problem.sampling.antithetic;
    const int samples = place.end_sample;
    // A block of two samples may begin between those that are drawn at once.
#pragma unroll 1
    for (int first = place.first_sample / kDraws * kDraws; first < samples; first += kDraws) {
#pragma unroll 1
      for (int i = thread_index(); i < count; i += kThreads) {
        uint32_t words[4];
        random.words(static_cast<uint32_t>(mask), static_cast<uint32_t>(number(i)),
                     static_cast<uint32_t>(first) / (pairs ? 8 : 4), words);
        select_words<kDraws>(words, first, pairs);
        T drawn[kDraws];
        masks_of_words(plan.exponent, words, prepared[i], drawn);
#pragma unroll
        for (int q = 0; q < kDraws; ++q) masks[q][i] = drawn[q];
      }
      if constexpr (kShared) __syncthreads();  // before others read the masks
#pragma unroll 1
      for (int q = max(place.first_sample - first, 0); q < kDraws; ++q)
        if (first + q < samples) visit(first + q, static_cast<const T*>(masks[q]));
      if constexpr (kShared && !kVisitWaits) __syncthreads();  // before the masks are overwritten
    }
  }
};

// masks[q][i] is at pixel i of the tile. A pass that does not read the masks is not kRead.
template <typename Problem, typename T, bool kRead = true, bool kSampled = Problem::kSampled>
struct TileMasks : MaskWindow<T, kTileWidth * kTileHeight, 4, true> {
  template <typename Visit>
  __device__ __forceinline__ void for_each(const CompositesPlan<Problem>& plan, const Place& place,
                                           const RandomState& random, int mask, const LogitsTile<T>& tile,
                                           Visit visit) {
    const int width = static_cast<int>(plan.problem.shape.width);
    const int rows = min(kTileHeight, static_cast<int>(plan.problem.shape.height) - place.first_row);
#pragma unroll 1
    for (int i = thread_index(); i < rows * kTileWidth; i += kThreads)
      this->prepared[i] = prepare(plan.exponent, tile.at(i / kTileWidth, i % kTileWidth));
    const auto number = [&](int i) {
      return (place.first_row + i / kTileWidth) * width + place.first_column + i % kTileWidth;
    };
    this->for_each_sample(plan, place, random, rows * kTileWidth, mask, number, [&](int at, const T* masks) {
      T m[4];
      load_shared(masks + thread_index() * kVector, m);
      visit(at, m);
    });
  }
};

// Each thread reads those of its own pixels.
template <typename Problem, typename T, bool kRead>
struct TileMasks<Problem, T, kRead, false> {
  template <typename Visit>
  __device__ __forceinline__ void for_each(const CompositesPlan<Problem>& plan, const Place& place, Nothing, int mask,
                                           Nothing, Visit visit) {
    const Shape& s = plan.problem.shape;
    const StridedMasks& from = plan.problem.masks;
    const int samples = place.end_sample;
#pragma unroll 1
    for (int sample = place.first_sample; sample < samples; ++sample) {
      __syncwarp();  // what lies in shared memory is read again for each sample, and takes no registers
      T m[4] = {T(0), T(0), T(0), T(0)};
      if constexpr (kRead) {
        const Pixels pixels = place.pixels(s);
        const T* const plane = static_cast<const T*>(from.data) + mask_offset(from, place.image, mask, sample);
        // mutant: given-pixel
        load_four(plane + pixels.row * from.strides[3] + pixels.column * from.strides[4], from.strides[4],
                  plan.vector_masks, pixels.valid, m);  // mutant: given-vector
      }
      visit(sample, m);
    }
  }
};

template <typename Problem, typename T, int kDraws, bool kRead = true, bool kVisitWaits = false,
          bool kSampled = Problem::kSampled>
struct CellMasks : MaskWindow<T, kTileCells, kDraws, kRead, kVisitWaits> {
  template <typename Visit>
  __device__ __forceinline__ void for_each(const CompositesPlan<Problem>& plan, const Place& place,
                                           const RandomState& random, int mask, const CellWindow& window, Visit visit) {
    const Shape& s = plan.problem.shape;
    const T* const logits = static_cast<const T*>(plan.problem.logits) + (place.image * s.masks + mask) * s.cells();
#pragma unroll 1
    for (int i = thread_index(); i < window.count(); i += kThreads)
      this->prepared[i] = prepare(plan.exponent, load_one(logits + window.cell(s, i)));
    this->for_each_sample(plan, place, random, window.count(), mask, [&](int i) { return window.cell(s, i); }, visit);
  }
};

// kDraws samples at a time are brought to shared memory.
template <typename Problem, typename T, int kDraws, bool kRead, bool kVisitWaits>
struct CellMasks<Problem, T, kDraws, kRead, kVisitWaits, false> {
  T masks[kRead ? kDraws : 1][kRead ? kTileCells : 1];

  template <typename Visit>
  __device__ __forceinline__ void for_each(const CompositesPlan<Problem>& plan, const Place& place, Nothing, int mask,
                                           const CellWindow& window, Visit visit) {
    const StridedMasks& from = plan.problem.masks;
    const int samples = place.end_sample;
    bool visit_waits = false;
    if constexpr (kVisitWaits) visit_waits = plan.problem.grad_masks != nullptr;
    if constexpr (kRead) {
#pragma unroll 1
      for (int first = place.first_sample; first < samples; first += kDraws) {
#pragma unroll 1
        for (int i = thread_index(); i < window.count(); i += kThreads) {
          const int row = window.first_row + i / window.columns, column = window.first_column + i % window.columns;
          const T* cell = static_cast<const T*>(from.data) + mask_offset(from, place.image, mask, first) +
                          row * from.strides[3] + column * from.strides[4];  // mutant: given-cell
#pragma unroll
          for (int q = 0; q < kDraws; ++q, cell += from.strides[2])  // mutant: given-draws
            if (first + q < samples) masks[q][i] = load_one(cell);   // mutant: given-guard
        }
        __syncthreads();  // before others read the given masks
#pragma unroll 1
        for (int q = 0; q < kDraws; ++q)
          if (first + q < samples) visit(first + q, static_cast<const T*>(masks[q]));
        if (!visit_waits) __syncthreads();  // before the given masks are overwritten
      }
    } else {
#pragma unroll 1
      for (int sample = place.first_sample; sample < samples; ++sample) visit(sample, static_cast<const T*>(nullptr));
    }
  }
};

}  // namespace sdfido::cuda
