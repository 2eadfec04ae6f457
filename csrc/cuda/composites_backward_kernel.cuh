// Gradients of what the masks come from and, where asked for, of image and infill. Sampled masks are sampled again.
//
// Full resolution: a thread projects each sample's gradient onto the difference of image and infill at its own four
// pixels. Below: a block does so for its tile, and gathers the result for the cells that the tile reads. The gradient
// of masks that are given is that; for logits it is summed over samples. What several tiles have of a cell is added up
// in their order by a second launch.
#pragma once
#include "gradients.cuh"

namespace sdfido::cuda {

template <typename Problem, typename T, typename Stored, bool kImage>
__global__ void __launch_bounds__(kThreads, kBlocks<T, kImage, true>)
    backward_full_kernel(const __grid_constant__ CompositesPlan<Problem> plan) {
  __shared__ Place place;
  __shared__ IfSampled<Problem, RandomState> random;
  __shared__ IfSampled<Problem, LogitsTile<T>> tile;
  __shared__ IfSampled<Problem, PenaltyWeights<T>> weights;
  using TileDifference = Difference<kImage, T, TileMasks<Problem, T, kImage>>;
  __shared__ typename TileDifference::Memory memory;
  auto& masks = memory.masks;
  const Shape& s = plan.problem.shape;
  if (threadIdx.x == 0) {
    place.find(plan);
    if constexpr (Problem::kSampled) random.load(s, plan.problem.sampling, place.image);
  }
  __syncthreads();  // before others read the place
  const int channels = static_cast<int>(s.channels);
#pragma unroll 1
  for (int first = 0; first < channels; first += kChannels) {
    const int count = min(channels - first, kChannels);
    const bool has_samples = place.end_sample > 0;
    const TileDifference difference(plan, place, first, has_samples ? count : 0, memory);
    ImageGradients<kImage, T> image_gradients;
#pragma unroll 1
    for (int mask = place.first_mask; mask < place.end_mask; ++mask) {
      if constexpr (Problem::kSampled) {
        tile.load(plan, place.image * s.masks + mask, place.first_row, place.first_column, place.penalties);
        if (place.penalties && threadIdx.x == 0) weights.load(plan, place.image * s.masks + mask);
        __syncthreads();  // before others read logits and weights
        T sum[4] = {T(0), T(0), T(0), T(0)};
        if (plan.problem.grad_composites && has_samples) {
          masks.for_each(plan, place, random, mask, tile, [&](int sample, const T(&m)[4]) {
            T projected[4] = {T(0), T(0), T(0), T(0)};
            for_each_gradient<Stored, T>(plan, place, mask, sample, first, count, [&](int c, int i, T g) {
              projected[i] += g * difference.at(c, i);
              image_gradients.add(c, i, g, m[i]);
            });
#pragma unroll
            for (int i = 0; i < 4; ++i) projected[i] = projected[i] * mask_slope(m[i]);
            if (!kImage && plan.separate_samples()) {
              const Pixels pixels = place.pixels(s);
              const int64_t number = (place.image * s.masks + mask) * s.samples + sample;  // mutant: sample-plane
              store_four(static_cast<T*>(plan.partial_gradients) + number * s.cells() + pixels.offset, 1,
                         plan.vector_logits, pixels.valid, projected);
            } else {
#pragma unroll
              for (int i = 0; i < 4; ++i) sum[i] += projected[i];
            }
          });
        }
        if (!place.penalties) continue;  // samples are added up, and join them, in the second launch
        const int64_t plane = place.image * s.masks + mask;
        const Pixels pixels = place.pixels(s);
        T* const out = static_cast<T*>(plan.problem.grad_logits) + plane * s.cells() + pixels.offset;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          if (i >= pixels.valid) continue;
          sum[i] = sum[i] * static_cast<T>(plan.exponent.inverse_temperature);
          // The first group of channels brings the penalties, the others add to what is there.
          // mutant: channel-groups
          sum[i] += first == 0 ? penalty_gradient_at(tile, s, place, pixels, i, weights) : __ldcg(out + i);
        }
        store_four(out, 1, plan.vector_logits, pixels.valid, sum);
        __syncthreads();  // before the next mask's logits come
      } else {
        masks.for_each(plan, place, random, mask, tile, [&](int sample, const T(&m)[4]) {
          T projected[4] = {T(0), T(0), T(0), T(0)};
          for_each_gradient<Stored, T>(plan, place, mask, sample, first, count, [&](int c, int i, T g) {
            projected[i] += g * difference.at(c, i);
            image_gradients.add(c, i, g, m[i]);
          });
          __syncwarp();  // the place is read again, and takes no registers in between
          if (!plan.problem.grad_masks) return;
          const Pixels pixels = place.pixels(s);
          const int64_t number = (place.image * s.masks + mask) * s.samples + sample;  // mutant: given-gradient
          T* const out = static_cast<T*>(plan.problem.grad_masks) + number * s.cells() + pixels.offset;
          if (first != 0) {  // groups of channels add to what is there; mutant: given-groups
#pragma unroll
            for (int i = 0; i < 4; ++i)
              if (i < pixels.valid) projected[i] += __ldcg(out + i);
          }
          store_four(out, 1, plan.vector_mask_gradients, pixels.valid, projected);
        });
      }
    }
    if constexpr (kImage) image_gradients.write(plan, place, first, count, memory.images);
  }
}

template <typename Problem, typename T, typename Stored, bool kImage>
__global__ void __launch_bounds__(kThreads, kBlocks<T, kImage>)
    backward_low_kernel(const __grid_constant__ CompositesPlan<Problem> plan) {
  __shared__ Place place;
  __shared__ IfSampled<Problem, RandomState> random;
  // Only gradients of images read masks, one sample at a time, before the block gathers.
  using TileDifference = Difference<kImage, T, CellMasks<Problem, T, kImage ? 1 : 4, kImage, kImage>>;
  __shared__ typename TileDifference::Memory memory;
  auto& masks = memory.masks;
  __shared__ Stencil<T> stencil;
  __shared__ T sums[Problem::kSampled ? kTileCells : 1];
  alignas(16) __shared__ T projected[kTileHeight * kTileWidth];
  __shared__ T lines[kWindowHeight][kTileWidth + 1];  // one more, so that rows begin in different banks
  const Shape& s = plan.problem.shape;
  if (threadIdx.x == 0) {
    place.find(plan);
    if constexpr (Problem::kSampled) random.load(s, plan.problem.sampling, place.image);
  }
  const int channels = static_cast<int>(s.channels);
  stencil.fill(s, place);
  const CellWindow& window = stencil.window;
  // The sum over the tile's pixels that read a cell goes down the columns of pixels first, for all rows of cells, then
  // along those rows: a warp reads pixels side by side.
  const auto gather_columns = [&] {
#pragma unroll 1
    for (int item = thread_index(); item < window.rows * kTileWidth; item += kThreads) {
      const int row = item / kTileWidth, x = item % kTileWidth;
      lines[row][x] = stencil.rows.template gather<kTileWidth>(row, projected + x);
    }
  };
  const auto gather_row = [&](int i) {
    return stencil.columns.template gather<1>(i % window.columns, lines[i / window.columns]);
  };
#pragma unroll 1
  for (int first = 0; first < channels; first += kChannels) {
    const int count = min(channels - first, kChannels);
    constexpr bool kSameMemory = !kImage && Problem::kSampled;
    if constexpr (kSameMemory) {
      if (first != 0) __syncthreads();  // before images take the memory of the masks
    }
    const TileDifference difference(plan, place, first, count, memory);
    if constexpr (kSameMemory) __syncthreads();  // before masks take the memory of the images
    ImageGradients<kImage, T> image_gradients;
#pragma unroll 1
    for (int mask = place.first_mask; plan.problem.grad_composites && mask < place.end_mask; ++mask) {
      // Where the cells of this tile go that belong to the mask, or to one sample of it.
      const auto partial = [&](int sample) {
        int64_t number = place.image * s.masks + mask;
        if (!Problem::kSampled || (!kImage && plan.separate_samples())) number = number * s.samples + sample;
        const int64_t block = number * plan.tiles.count() + place.tile;
        return static_cast<T*>(plan.partial_gradients) + block * plan.tile_cells;  // mutant: partial
      };
      if constexpr (Problem::kSampled) {
#pragma unroll 1
        for (int i = thread_index(); i < window.count(); i += kThreads) sums[i] = T(0);
      }
      masks.for_each(plan, place, random, mask, window, [&](int sample, const T* values) {
        T m[4], sum[4] = {T(0), T(0), T(0), T(0)};
        if constexpr (kImage) stencil.interpolate(values, m);
        for_each_gradient<Stored, T>(plan, place, mask, sample, first, count, [&](int c, int i, T g) {
          sum[i] += g * difference.at(c, i);
          if constexpr (kImage) image_gradients.add(c, i, g, m[i]);
        });
        if constexpr (!Problem::kSampled) {
          if (!plan.problem.grad_masks) return;
        }
        store_shared(projected + thread_index() * kVector, sum);
        __syncthreads();  // before others gather pixels
        gather_columns();
        __syncthreads();  // before others gather lines, and pixels are overwritten
        if constexpr (Problem::kSampled) {
          T* const out = partial(sample);
          const bool separate = !kImage && plan.separate_samples();
#pragma unroll 1
          for (int i = thread_index(); i < window.count(); i += kThreads) {
            const T gathered = gather_row(i) * mask_slope(values[i]);
            if (separate) {
              store_one(out + i, gathered);
            } else {
              sums[i] += gathered;
            }
          }
        } else {
          T* const out = partial(sample);
#pragma unroll 1
          for (int i = thread_index(); i < window.count(); i += kThreads) {
            const T gathered = gather_row(i);
            store_one(out + i, first == 0 ? gathered : gathered + __ldcg(out + i));  // mutant: given-low-groups
          }
        }
      });
      if constexpr (Problem::kSampled) {
        if (!kImage && plan.separate_samples()) continue;
        T* const out = partial(0);
#pragma unroll 1
        for (int i = thread_index(); i < window.count(); i += kThreads) {
          const T scaled = sums[i] * static_cast<T>(plan.exponent.inverse_temperature);
          store_one(out + i, first == 0 ? scaled : scaled + __ldcg(out + i));
        }
      }
    }
    if constexpr (kImage) image_gradients.write(plan, place, first, count, memory.images);
  }
}

// The second launch: a thread adds up what the tiles, or the samples, have of one cell, of one sample where masks are
// given. Where they are sampled, the penalties' gradients join: at full resolution, the first launch has written them.
template <typename Problem, typename T>
__global__ void __launch_bounds__(kThreads) combine_kernel(const __grid_constant__ CompositesPlan<Problem> plan) {
  const Shape& s = plan.problem.shape;
  const int64_t step = int64_t{gridDim.x} * kThreads;
  // mutant: combine-step
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < plan.mask_cells(); i += step) {
    const int64_t number = i / s.cells(), cell = i % s.cells();  // mutant: combine-number
    const int64_t y = cell / s.cell_columns, x = cell % s.cell_columns;
    T sum = s.full_resolution() ? sum_over_samples<T>(plan, number, 0, 1, s.cells(), cell)
                                : sum_over_tiles<T>(plan, number, y, x);
    if constexpr (Problem::kSampled) {
      T* const out = static_cast<T*>(plan.problem.grad_logits) + i;
      sum += s.full_resolution() ? __ldcg(out) : penalty_gradient_of<T>(plan, number, y, x);
      store_one(out, sum);
    } else {
      store_one(static_cast<T*>(plan.problem.grad_masks) + i, sum);
    }
  }
}

}  // namespace sdfido::cuda
