// Gradients of what the masks come from and, where asked for, of image and infill. Sampled masks are sampled again.
//
// Full resolution: a thread projects each sample's gradient onto the difference of image and infill at its own four
// pixels. Below: a block does so for its tile, and gathers the result for the cells that the tile reads. The gradient of
// masks that are given is that; for logits it is summed over samples. What several tiles have of a cell is added up in
// order: for logits by the last block of an image, in the same launch; for given masks, of which there are as many more
// as there are samples, by all threads of a second one.
#pragma once
#include "mask_source.cuh"

namespace sdfido::cuda {

// Calls visit(c, i, g) for the gradients g of one sample's composite at the thread's pixels i, channels first
// + c for c in [0, count): for each pixel in the order of the channels.
template <typename Stored, typename T, typename Problem, typename Visit>
__device__ __forceinline__ void for_each_gradient(const CompositesPlan<Problem>& plan, const Place& place, int mask,
                                                  int sample, int first, int count, Visit visit) {
  const Shape& s = plan.problem.shape;
  const Pixels pixels = place.pixels(s);
  if (pixels.valid <= 0) return;
  const int64_t number = (place.image * s.masks + mask) * s.samples + sample;
  const Stored* const in = static_cast<const Stored*>(plan.problem.grad_composites) + number * s.channels * s.pixels();
  if (plan.problem.channels_last && kChannels == s.channels && plan.vector_composites) {
    // Four pixels of all channels are 4 * kChannels elements in a row.
#pragma unroll
    for (int part = 0; part < kChannels; ++part) {
      T values[4];
      load_vector(in + int64_t{pixels.offset} * kChannels + part * 4, values);
#pragma unroll
      for (int i = 0; i < 4; ++i) visit((part * 4 + i) % kChannels, (part * 4 + i) / kChannels, values[i]);
    }
  } else {
    const ChannelWalk walk(plan, pixels, first);
    const Stored* from = in + walk.offset;
#pragma unroll
    for (int c = 0; c < kChannels; ++c, from += walk.next) {
      if (c >= count) continue;
      T values[4];
      load_four(from, walk.stride, walk.vector, pixels.valid, values);
#pragma unroll
      for (int i = 0; i < 4; ++i) visit(c, i, values[i]);
    }
  }
}

// Sums over masks and samples for image and infill; without kWanted nothing is kept.
template <bool kWanted, typename T>
struct ImageGradients {
  T image[kWanted ? kChannels : 1][4], infill[kWanted ? kChannels : 1][4];

  __device__ __forceinline__ ImageGradients() {
#pragma unroll
    for (int c = 0; c < (kWanted ? kChannels : 1); ++c)
#pragma unroll
      for (int i = 0; i < 4; ++i) image[c][i] = infill[c][i] = T(0);
  }

  __device__ __forceinline__ void add(int c, int i, T g, T m) {
    if constexpr (kWanted) {
      image[c][i] += m * g;
      infill[c][i] += (T(1) - m) * g;
    }
  }

  // The memory is written over.
  template <typename Problem>
  __device__ __forceinline__ void write(const CompositesPlan<Problem>& plan, const Place& place, int first, int count,
                                        ThreadValues<T>& memory) const {
    // One body for both, as it has ways for every format.
#pragma unroll 1
    for (int input = 0; input < 2; ++input) {
      if (input == 0) {
        memory.write(count, image);
      } else {
        memory.write(count, infill);
      }
      void* const out = input == 0 ? plan.problem.grad_image : plan.problem.grad_infill;  // mutant: image-gradients
#pragma unroll 1
      for (int c = 0; out && c < count; ++c) {
        const Shape& s = plan.problem.shape;
        const Pixels pixels = place.pixels(s);
        const int64_t at = (place.image * s.channels + first + c) * s.pixels() + pixels.offset;
        T values[4];
        load_shared(memory.at(c), values);
        store_output(out, plan.problem.image_format, at, plan.vector_image_gradients, pixels.valid, values);
      }
    }
  }
};

// image - infill at the thread's pixels: in registers, or, where sums for image and infill need those, in
// shared memory.
template <bool kShared, typename T, typename Masks>
struct Difference {
  union Memory {
    ThreadValues<T> images;  // on their way to registers
    Masks masks;
  };
  T values[kChannels][4];

  template <typename Problem>
  __device__ __forceinline__ Difference(const CompositesPlan<Problem>& plan, const Place& place, int first, int count,
                                        Memory& memory) {
    load_images(plan, place, first, count, memory.images, memory.images);
    memory.images.read(count, values);
    __syncthreads();  // before masks take the memory of the images
  }
  __device__ __forceinline__ T at(int c, int i) const { return values[c][i]; }
};

template <typename T, typename Masks>
struct Difference<true, T, Masks> {
  struct Memory {
    ThreadValues<T> images;
    Masks masks;
  };
  ThreadValues<T>& images;

  template <typename Problem>
  __device__ __forceinline__ Difference(const CompositesPlan<Problem>& plan, const Place& place, int first, int count,
                                        Memory& memory)
      : images(memory.images) {
    load_images(plan, place, first, count, images, images);
  }
  __device__ __forceinline__ T at(int c, int i) const { return images.at(c)[i]; }
};

// What a unit of the penalties' gradients counts for one cell.
template <typename T>
struct PenaltyWeights {
  T sparsity, smoothness;

  __device__ __forceinline__ void load(const CompositesPlan<CompositesBackward>& plan, int64_t plane) {
    const auto share = [&](const void* grad) {
      return grad ? load_one(static_cast<const T*>(grad) + plane) / static_cast<T>(plan.problem.shape.cells()) : T(0);
    };
    sparsity = share(plan.problem.grad_sparsity);
    smoothness = share(plan.problem.grad_smoothness);
  }
};

// The penalties' gradient at pixel i of the thread, at full resolution.
template <typename T>
__device__ __forceinline__ T penalty_gradient_at(const LogitsTile<T>& tile, const Shape& s, const Place& place,
                                                 const Pixels& pixels, int i, const PenaltyWeights<T>& weights) {
  const int x = pixels.column + i, y = pixels.row, column = x - place.first_column, row = y - place.first_row;
  const T here = keep_rate(tile.at(row, column));
  return penalty_gradient(here, x > 0 ? keep_rate(tile.at(row, column - 1)) : here,
                          x + 1 < s.cell_columns ? keep_rate(tile.at(row, column + 1)) : here,
                          y > 0 ? keep_rate(tile.at(row - 1, column)) : here,
                          y + 1 < s.cell_rows ? keep_rate(tile.at(row + 1, column)) : here, weights.sparsity,
                          weights.smoothness);
}

template <typename Problem, typename T, typename Stored, bool kImage>
__global__ void __launch_bounds__(kThreads, kBlocks<T, kImage>)
    backward_full_kernel(const __grid_constant__ CompositesPlan<Problem> plan) {
  __shared__ Place place;
  __shared__ IfSampled<Problem, RandomState> random;
  __shared__ IfSampled<Problem, LogitsTile<T>> tile;
  __shared__ IfSampled<Problem, PenaltyWeights<T>> weights;
  using TileDifference = Difference<kImage, T, TileMasks<Problem, T, kImage>>;
  __shared__ typename TileDifference::Memory memory;
  auto& masks = memory.masks;
  const Shape& s = plan.problem.shape;
  place.find(plan.tiles);
  const int channels = static_cast<int>(s.channels), masks_count = static_cast<int>(s.masks);
  if constexpr (Problem::kSampled) {
    if (threadIdx.x == 0) random.load(s, plan.problem.sampling, place.image);
  }
#pragma unroll 1
  for (int first = 0; first < channels; first += kChannels) {
    const int count = min(channels - first, kChannels);
    const TileDifference difference(plan, place, first, count, memory);
    ImageGradients<kImage, T> image_gradients;
#pragma unroll 1
    for (int mask = 0; mask < masks_count; ++mask) {
      if constexpr (Problem::kSampled) {
        tile.load(plan, place.image * s.masks + mask, place.first_row, place.first_column, true);
        if (threadIdx.x == 0) weights.load(plan, place.image * s.masks + mask);
        __syncthreads();  // before others read logits and weights
        T sum[4] = {T(0), T(0), T(0), T(0)};
        if (plan.problem.grad_composites) {
          masks.for_each(plan, place, random, mask, tile, [&](int sample, const T(&m)[4]) {
            T projected[4] = {T(0), T(0), T(0), T(0)};
            for_each_gradient<Stored, T>(plan, place, mask, sample, first, count, [&](int c, int i, T g) {
              projected[i] += g * difference.at(c, i);
              image_gradients.add(c, i, g, m[i]);
            });
#pragma unroll
            for (int i = 0; i < 4; ++i) sum[i] += projected[i] * mask_slope(m[i]);
          });
        }
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

// The first pixel along an axis that reads cells from `cell` on, about: never after it.
__device__ __forceinline__ int64_t first_pixel_of(int64_t cell, int64_t cells, int64_t pixels) {
  const int64_t pixel = (2 * cell + 1) * pixels / (2 * cells) - 2;  // mutant: first-pixel
  return pixel > 0 ? pixel : 0;
}

// What the tiles have gathered for cell (y, x) of the window that has this number, in the order of the tiles.
template <typename T, typename Problem>
__device__ __forceinline__ T sum_over_tiles(const CompositesPlan<Problem>& plan, int64_t number, int64_t y, int64_t x) {
  const Shape& s = plan.problem.shape;
  T sum = T(0);
  // Tiles from the one of the first pixel that may read the cell on, until one begins after the last that does.
  const int64_t from_row = y > 0 ? first_pixel_of(y - 1, s.cell_rows, s.height) / kTileHeight : 0;
  const int64_t from_column = x > 0 ? first_pixel_of(x - 1, s.cell_columns, s.width) / kTileWidth : 0;
  for (int64_t r = from_row; plan.problem.grad_composites && r < plan.tiles.rows; ++r) {
    if (source_cell<T>(r * kTileHeight, s.cell_rows, s.height).first > y) break;
    for (int64_t c = from_column; c < plan.tiles.columns; ++c) {
      CellWindow window{};
      window.find<T>(s, r * kTileHeight, c * kTileWidth);
      if (window.first_column > x) break;  // mutant: last-tile
      if (y >= window.first_row + window.rows || x >= window.first_column + window.columns) continue;
      const int64_t tile = number * plan.tiles.count() + r * plan.tiles.columns + c;
      const int64_t at = (y - window.first_row) * window.columns + (x - window.first_column);
      sum += __ldcg(static_cast<const T*>(plan.partial_gradients) + tile * plan.tile_cells + at);
    }
  }
  return sum;
}

// Adds up, for all cells of one image, what the tiles have summed, and the penalties' gradients.
template <typename T>
__device__ __forceinline__ void combine_tiles(const CompositesPlan<CompositesBackward>& plan, int64_t image) {
  const Shape& s = plan.problem.shape;
  for (int64_t i = threadIdx.x; i < s.masks * s.cells(); i += kThreads) {
    const int64_t plane = image * s.masks + i / s.cells(), cell = i % s.cells();
    const int64_t y = cell / s.cell_columns, x = cell % s.cell_columns;
    T sum = sum_over_tiles<T>(plan, plane, y, x);
    const T* logits = static_cast<const T*>(plan.problem.logits) + plane * s.cells();
    const auto rate = [&](int64_t row, int64_t column) {
      return keep_rate(load_one(logits + row * s.cell_columns + column));
    };
    PenaltyWeights<T> weights;
    weights.load(plan, plane);
    const T here = rate(y, x);
    sum += penalty_gradient(here, x > 0 ? rate(y, x - 1) : here, x + 1 < s.cell_columns ? rate(y, x + 1) : here,
                            y > 0 ? rate(y - 1, x) : here, y + 1 < s.cell_rows ? rate(y + 1, x) : here,
                            weights.sparsity, weights.smoothness);
    store_one(static_cast<T*>(plan.problem.grad_logits) + plane * s.cells() + cell, sum);
  }
}

// The second launch for given masks: a thread adds up what the tiles have of one cell of one sample.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    blend_combine_kernel(const __grid_constant__ CompositesPlan<BlendBackward> plan) {
  const Shape& s = plan.problem.shape;
  const int64_t step = int64_t{gridDim.x} * kThreads;
  // mutant: combine-step
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < plan.mask_cells(); i += step) {
    const int64_t cell = i % s.cells();
    store_one(static_cast<T*>(plan.problem.grad_masks) + i,
              // mutant: combine-number
              sum_over_tiles<T>(plan, i / s.cells(), cell / s.cell_columns, cell % s.cell_columns));
  }
}

template <typename Problem, typename T, typename Stored, bool kImage>
__global__ void __launch_bounds__(kThreads, kBlocks<T, kImage>)
    backward_low_kernel(const __grid_constant__ CompositesPlan<Problem> plan) {
  __shared__ Place place;
  __shared__ IfSampled<Problem, RandomState> random;
  using TileDifference = Difference<kImage, T, CellMasks<Problem, T, kImage ? 1 : 4, kImage>>;
  __shared__ typename TileDifference::Memory memory;
  auto& masks = memory.masks;
  __shared__ Stencil<T> stencil;
  __shared__ T sums[Problem::kSampled ? kTileCells : 1];
  alignas(16) __shared__ T projected[kTileHeight * kWindowWidth];
  __shared__ T line_memory[kImage ? kTileHeight * kWindowWidth : 1];
  T* const lines = kImage ? line_memory : projected;
  const Shape& s = plan.problem.shape;
  place.find(plan.tiles);
  const int channels = static_cast<int>(s.channels), masks_count = static_cast<int>(s.masks);
  if constexpr (Problem::kSampled) {
    if (threadIdx.x == 0) random.load(s, plan.problem.sampling, place.image);
  }
  stencil.fill(s, place);
  const CellWindow& window = stencil.window;
  // The sum over the tile's pixels that read a cell goes along rows first, for all columns of cells, then
  // down.
  const auto gather_row = [&](int item) {
    const int y = item / window.columns, cell = item % window.columns;
    T line = T(0);
#pragma unroll 1
    for (int x = stencil.columns.begin[cell]; x < kTileWidth && stencil.columns.first[x] <= cell; ++x)
      line += stencil.columns.of(x, cell) * projected[y * kTileWidth + x];
    return line;
  };
  const auto gather_rows = [&] {
    const int thread = thread_index(), count = kTileHeight * window.columns;
    if constexpr (kImage) {
#pragma unroll 1
      for (int item = thread; item < count; item += kThreads) lines[item] = gather_row(item);
    } else {
      // The lines take the memory of what they are made of, and wait in registers until all has been read.
      constexpr int kWaiting = (kTileHeight * kWindowWidth + kThreads - 1) / kThreads;
      T waiting[kWaiting];
#pragma unroll
      for (int j = 0; j < kWaiting; ++j)
        waiting[j] = thread + j * kThreads < count ? gather_row(thread + j * kThreads) : T(0);
      __syncthreads();  // before lines take the memory of pixels
#pragma unroll
      for (int j = 0; j < kWaiting; ++j)
        if (thread + j * kThreads < count) lines[thread + j * kThreads] = waiting[j];
    }
  };
  const auto gather_column = [&](int i) {
    const int row = i / window.columns, column = i % window.columns;
    T total = T(0);
#pragma unroll 1
    for (int y = stencil.rows.begin[row]; y < kTileHeight && stencil.rows.first[y] <= row; ++y)
      total += stencil.rows.of(y, row) * lines[y * window.columns + column];
    return total;
  };
#pragma unroll 1
  for (int first = 0; first < channels; first += kChannels) {
    const int count = min(channels - first, kChannels);
    const TileDifference difference(plan, place, first, count, memory);
    ImageGradients<kImage, T> image_gradients;
#pragma unroll 1
    for (int mask = 0; plan.problem.grad_composites && mask < masks_count; ++mask) {
      // Where the cells of this tile go that belong to the mask, or to one sample of it.
      const auto partial = [&](int sample) {
        int64_t number = place.image * s.masks + mask;
        if constexpr (!Problem::kSampled) number = number * s.samples + sample;
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
        gather_rows();
        __syncthreads();  // before others gather lines
        if constexpr (Problem::kSampled) {
#pragma unroll 1
          for (int i = thread_index(); i < window.count(); i += kThreads)
            sums[i] += gather_column(i) * mask_slope(values[i]);
        } else {
          T* const out = partial(sample);
#pragma unroll 1
          for (int i = thread_index(); i < window.count(); i += kThreads) {
            const T gathered = gather_column(i);
            store_one(out + i, first == 0 ? gathered : gathered + __ldcg(out + i));  // mutant: given-low-groups
          }
        }
        __syncthreads();  // before the next sample is projected
      });
      if constexpr (Problem::kSampled) {
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
  if constexpr (Problem::kSampled) {
    if (last_block(plan.tickets + place.image, static_cast<uint32_t>(plan.tiles.count())))
      combine_tiles<T>(plan, place.image);
  }
}

}  // namespace sdfido::cuda
