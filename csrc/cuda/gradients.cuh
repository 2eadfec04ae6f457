// What the backward kernels are made of: gradients of composites, images and penalties, and sums over tiles.
#pragma once
#include "mask_source.cuh"

namespace sdfido::cuda {

// Calls visit(c, i, g) for the gradients g of one sample's composite at the thread's pixels i, channels first + c for c
// in [0, count): for each pixel in the order of the channels.
template <typename Stored, typename T, typename Problem, typename Visit>
__device__ __forceinline__ void for_each_gradient(const CompositesPlan<Problem>& plan, const Place& place, int mask,
                                                  int sample, int first, int count, Visit visit) {
  const Shape& s = plan.problem.shape;
  const Pixels pixels = place.pixels(s);
  if (pixels.valid <= 0) return;
  const Stored* const in =
      static_cast<const Stored*>(plan.problem.grad_composites) + composite_offset(plan, place.image, mask, sample);
  if (plan.problem.channels_last && kChannels == s.channels && plan.vector_composites) {
    // Four pixels of all channels are 4 * kChannels elements in a row.
#pragma unroll
    for (int part = 0; part < kChannels; ++part) {
      T values[4];
      load_vector(in + int64_t{pixels.offset} * kChannels + part * 4, values);
#pragma unroll
      for (int i = 0; i < 4; ++i) visit((part * 4 + i) % kChannels, (part * 4 + i) / kChannels, values[i]);
    }
  } else if (kChannels == s.channels && plan.vector_composites) {
    const Stored* from = in + pixels.offset;
#pragma unroll
    for (int c = 0; c < kChannels; ++c, from += s.pixels()) {
      T values[4];
      load_vector(from, values);
#pragma unroll
      for (int i = 0; i < 4; ++i) visit(c, i, values[i]);
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
  template <typename Problem, bool kApart>
  __device__ __forceinline__ void write(const CompositesPlan<Problem>& plan, const Place& place, int first, int count,
                                        ThreadValues<T, kApart>& memory) const {
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
        memory.load(c, values);
        store_output(out, plan.problem.image_format, at, plan.vector_image_gradients, pixels.valid, values);
      }
    }
  }
};

// image - infill at the thread's pixels: in registers, or in shared memory where sums for image and infill need those.
// The caller synchronises before masks take the memory of images on their way to registers.
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
  }
  __device__ __forceinline__ T at(int c, int i) const { return values[c][i]; }
};

template <typename T, typename Masks>
struct Difference<true, T, Masks> {
  struct Memory {
    ThreadValues<T, true> images;
    Masks masks;
  };
  ThreadValues<T, true>& images;

  template <typename Problem>
  __device__ __forceinline__ Difference(const CompositesPlan<Problem>& plan, const Place& place, int first, int count,
                                        Memory& memory)
      : images(memory.images) {
    load_images(plan, place, first, count, images, images);
  }
  __device__ __forceinline__ T at(int c, int i) const { return images.at(c, i); }
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

// The first pixel along an axis that reads cells from `cell` on, about: never after it.
__device__ __forceinline__ int64_t first_pixel_of(int64_t cell, int64_t cells, int64_t pixels) {
  const int64_t pixel = (2 * cell + 1) * pixels / (2 * cells) - 2;  // mutant: first-pixel
  return pixel > 0 ? pixel : 0;
}

// What the block of a mask has at `at` of one of `count` places of `size` cells, or what all its samples have, in order.
template <typename T, typename Problem>
__device__ __forceinline__ T sum_over_samples(const CompositesPlan<Problem>& plan, int64_t mask, int64_t place,
                                              int64_t count, int64_t size, int64_t at) {
  const T* const from = static_cast<const T*>(plan.partial_gradients);
  if (!plan.separate_samples()) return __ldcg(from + (mask * count + place) * size + at);
  T sum = T(0);
  for (int64_t sample = 0; sample < plan.problem.shape.samples; ++sample)  // mutant: samples-order
    sum += __ldcg(from + ((mask * plan.problem.shape.samples + sample) * count + place) * size + at);
  if constexpr (Problem::kSampled) sum = sum * static_cast<T>(plan.exponent.inverse_temperature);
  return sum;
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
      const int64_t at = (y - window.first_row) * window.columns + (x - window.first_column);
      sum += sum_over_samples<T>(plan, number, r * plan.tiles.columns + c, plan.tiles.count(), plan.tile_cells, at);
    }
  }
  return sum;
}

// The penalties' gradient at cell (y, x) of one of all masks.
template <typename T>
__device__ __forceinline__ T penalty_gradient_of(const CompositesPlan<CompositesBackward>& plan, int64_t plane,
                                                 int64_t y, int64_t x) {
  const Shape& s = plan.problem.shape;
  const T* const logits = static_cast<const T*>(plan.problem.logits) + plane * s.cells();
  const auto rate = [&](int64_t row, int64_t column) {
    return keep_rate(load_one(logits + row * s.cell_columns + column));
  };
  PenaltyWeights<T> weights;
  weights.load(plan, plane);
  const T here = rate(y, x);
  return penalty_gradient(here, x > 0 ? rate(y, x - 1) : here, x + 1 < s.cell_columns ? rate(y, x + 1) : here,
                          y > 0 ? rate(y - 1, x) : here, y + 1 < s.cell_rows ? rate(y + 1, x) : here, weights.sparsity,
                          weights.smoothness);
}

}  // namespace sdfido::cuda
