// What a block keeps of its tile in both passes: image and infill in registers, masks of its cells in shared
// memory.
#pragma once
#include "device.cuh"

namespace sdfido::cuda {

// Image and infill of the thread's pixels in channels [first, first + count).
template <int kChannels, typename Problem, typename T>
__device__ __forceinline__ void load_images(const CompositePlan<Problem>& plan, const Place& place, int first,
                                            int count, T (&infill)[kChannels][4],
                                            T (&difference)[kChannels][4]) {
  const Problem& p = plan.problem;
  const auto offset = [&](const StridedInput& input, int c) {
    return place.image * input.strides[0] + (first + c) * input.strides[1] + place.row * input.strides[2] +
           place.column * input.strides[3];
  };
#pragma unroll
  for (int c = 0; c < kChannels; ++c) {
    if (c >= count) continue;
    load_input(p.infill, p.image_format, offset(p.infill, c), plan.vector_infill, place.valid, infill[c]);
    load_input(p.image, p.image_format, offset(p.image, c), plan.vector_image, place.valid, difference[c]);
#pragma unroll
    for (int i = 0; i < 4; ++i) difference[c][i] = difference[c][i] - infill[c][i];
  }
}

// Full resolution: calls visit(sample, masks of the thread's four cells) for all samples in order.
template <typename T, typename Visit>
__device__ __forceinline__ void for_each_sample(const MaskSampler& sampler, int samples, uint32_t cell,
                                                const T (&prepared)[4], Visit visit) {
  const int copies = sampler.copies();
  uint32_t words[4][4];
  // One body for all of them: registers are what limits the number of threads.
#pragma unroll 1
  for (int sample = 0; sample < samples; ++sample) {
    const int turn = sample & (4 * copies - 1);
    if (turn == 0) {
#pragma unroll
      for (int i = 0; i < 4; ++i)
        sampler.words(cell + i, static_cast<uint32_t>(sample) >> (copies == 2 ? 3 : 2), words[i]);
    } else if ((turn & (copies - 1)) == 0) {
#pragma unroll
      for (int i = 0; i < 4; ++i)
        words[i][0] = words[i][1], words[i][1] = words[i][2], words[i][2] = words[i][3];
    }
    T m[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) m[i] = sampler.mask(words[i][0], (turn & (copies - 1)) == 1, prepared[i]);
    visit(sample, m);
  }
}

// Masks of four draws for the cells under a tile, in shared memory.
template <typename T>
struct MaskWindow {
  T prepared[kTileCells];
  T masks[4][kTileCells];

  __device__ __forceinline__ void load(const Shape& s, const void* logits, int64_t plane,
                                       const CellWindow<T>& window, const MaskSampler& sampler) {
    const T* from = static_cast<const T*>(logits) + plane * s.cells();
    for (int i = threadIdx.x; i < window.count(); i += kThreads)
      prepared[i] = sampler.prepare(load_one(from + window.cell(s, i)));
  }

  // Each thread reads only what it loaded itself; the caller synchronises before others read the masks.
  __device__ __forceinline__ void sample(const Shape& s, const CellWindow<T>& window,
                                         const MaskSampler& sampler, int64_t block, bool complement) {
    for (int i = threadIdx.x; i < window.count(); i += kThreads) {
      uint32_t words[4];
      sampler.words(static_cast<uint32_t>(window.cell(s, i)), block, words);
#pragma unroll
      for (int q = 0; q < 4; ++q) masks[q][i] = sampler.mask(words[q], complement, prepared[i]);
    }
  }
};

}  // namespace sdfido::cuda
