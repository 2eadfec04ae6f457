// Gradients of the logits and, where asked for, of image and infill, in one launch: masks are sampled again.
//
// Full resolution: a thread sums over all samples for its own four pixels. Below: a block projects each
// sample's gradient onto the difference of image and infill, gathers it for the cells under its tile, and
// sums over samples; the last block of an image adds up, for each cell, the sums of the tiles that read it,
// in order.
#pragma once
#include "tile.cuh"

namespace sdfido::cuda {

using BackwardPlan = CompositePlan<CompositeBackward>;

// The gradient of one sample's composite at the thread's pixels, channels [first, first + count).
template <typename Stored, int kChannels, typename T>
__device__ __forceinline__ void read_gradient(const BackwardPlan& plan, const Place& place, int64_t sample,
                                              int first, int count, T (&g)[kChannels][4]) {
  const Shape& s = plan.problem.shape;
  const int64_t pixel = place.pixel(s);
  const Stored* const in =
      static_cast<const Stored*>(plan.problem.grad_composites) + sample * s.channels * s.pixels();
  if (!plan.problem.channels_last) {
#pragma unroll
    for (int c = 0; c < kChannels; ++c) {
      if (c >= count) continue;
      load_four(in + (first + c) * s.pixels() + pixel, plan.vector_composites, place.valid, g[c]);
    }
  } else if (kChannels == s.channels && plan.vector_composites) {
#pragma unroll
    for (int part = 0; part < kChannels; ++part) {
      T values[4];
      load_four(in + pixel * kChannels + part * 4, true, place.valid, values);
#pragma unroll
      for (int i = 0; i < 4; ++i) g[(part * 4 + i) % kChannels][(part * 4 + i) / kChannels] = values[i];
    }
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int c = 0; c < kChannels; ++c)
        g[c][i] = i < place.valid && c < count ? load_one(in + (pixel + i) * s.channels + first + c) : T(0);
    }
  }
}

// sum_c g * difference at pixel i.
template <int kChannels, typename T>
__device__ __forceinline__ T project(const T (&g)[kChannels][4], const T (&difference)[kChannels][4],
                                     int count, int i) {
  T sum = g[0][i] * difference[0][i];
#pragma unroll
  for (int c = 1; c < kChannels; ++c)
    if (c < count) sum += g[c][i] * difference[c][i];
  return sum;
}

// Sums over masks and samples for image and infill; without kWanted nothing is kept.
template <bool kWanted, int kChannels, typename T>
struct ImageGradients {
  T image[kWanted ? kChannels : 1][4], infill[kWanted ? kChannels : 1][4];

  __device__ __forceinline__ ImageGradients() {
#pragma unroll
    for (int c = 0; c < (kWanted ? kChannels : 1); ++c)
#pragma unroll
      for (int i = 0; i < 4; ++i) image[c][i] = infill[c][i] = T(0);
  }

  __device__ __forceinline__ void add(const T (&g)[kChannels][4], int count, int i, T m) {
    if constexpr (kWanted) {
#pragma unroll
      for (int c = 0; c < kChannels; ++c) {
        if (c >= count) continue;
        image[c][i] += m * g[c][i];
        infill[c][i] += (T(1) - m) * g[c][i];
      }
    }
  }

  template <typename Stored>
  __device__ __forceinline__ void write_as(const BackwardPlan& plan, const Place& place, int first,
                                           int count) const {
    const Shape& s = plan.problem.shape;
    for (int c = 0; c < count; ++c) {
      const int64_t at = (place.image * s.channels + first + c) * s.pixels() + place.pixel(s);
      for (int i = 0; i < place.valid; ++i) {
        if (plan.problem.grad_image)
          store_one(static_cast<Stored*>(plan.problem.grad_image) + at + i, image[c][i]);
        if (plan.problem.grad_infill)
          store_one(static_cast<Stored*>(plan.problem.grad_infill) + at + i, infill[c][i]);
      }
    }
  }

  __device__ __forceinline__ void write(const BackwardPlan& plan, const Place& place, int first,
                                        int count) const {
    if constexpr (kWanted && sizeof(T) == 8) {
      write_as<double>(plan, place, first, count);
    } else if constexpr (kWanted) {
      switch (plan.problem.image_format) {
        case Format::kBFloat16:
          return write_as<BFloat16>(plan, place, first, count);
        case Format::kFloat16:
          return write_as<Float16>(plan, place, first, count);
        default:
          return write_as<float>(plan, place, first, count);
      }
    }
  }
};

// What a unit of the penalties' gradients counts for one cell.
template <typename T>
struct PenaltyWeights {
  T sparsity, smoothness;

  __device__ __forceinline__ PenaltyWeights(const BackwardPlan& plan, int64_t plane) {
    const auto share = [&](const void* grad) {
      return grad ? load_one(static_cast<const T*>(grad) + plane) / static_cast<T>(plan.problem.shape.cells())
                  : T(0);
    };
    sparsity = share(plan.problem.grad_sparsity);
    smoothness = share(plan.problem.grad_smoothness);
  }
};

// Logits of a tile of cells and one cell around it.
template <typename T>
struct LogitsHalo {
  T logits[kTileHeight + 2][kTileWidth + 2];

  // All threads; the caller synchronises.
  __device__ __forceinline__ void load(const BackwardPlan& plan, int64_t plane, const Place& place) {
    const Shape& s = plan.problem.shape;
    const T* from = static_cast<const T*>(plan.problem.logits) + plane * s.cells();
    const int row = threadIdx.x / kThreadColumns, column = threadIdx.x % kThreadColumns * kVector;
    if (place.valid > 0) {
      T values[4];
      load_four(from + place.pixel(s), plan.vector_logits, place.valid, values);
#pragma unroll
      for (int i = 0; i < 4; ++i)
        if (i < place.valid) logits[row + 1][column + 1 + i] = values[i];
    }
    // The ring around: rows above and below, then columns to the left and right.
    for (int i = threadIdx.x; i < 2 * kTileWidth + 2 * kTileHeight; i += kThreads) {
      const bool horizontal = i < 2 * kTileWidth;
      const int j = horizontal ? i : i - 2 * kTileWidth;
      const int ring_row = horizontal ? j / kTileWidth * (kTileHeight + 1) : j % kTileHeight + 1;
      const int ring_column = horizontal ? j % kTileWidth + 1 : j / kTileHeight * (kTileWidth + 1);
      const int64_t y = place.first_row + ring_row - 1, x = place.first_column + ring_column - 1;
      if (y >= 0 && x >= 0 && y < s.cell_rows && x < s.cell_columns)
        logits[ring_row][ring_column] = load_one(from + y * s.cell_columns + x);
    }
  }

  __device__ __forceinline__ T gradient(const Shape& s, const Place& place, int i,
                                        const PenaltyWeights<T>& weights) const {
    const int row = threadIdx.x / kThreadColumns + 1, column = threadIdx.x % kThreadColumns * kVector + 1 + i;
    const int64_t y = place.row, x = place.column + i;
    const T here = keep_rate(logits[row][column]);
    return penalty_gradient(here, x > 0 ? keep_rate(logits[row][column - 1]) : here,
                            x + 1 < s.cell_columns ? keep_rate(logits[row][column + 1]) : here,
                            y > 0 ? keep_rate(logits[row - 1][column]) : here,
                            y + 1 < s.cell_rows ? keep_rate(logits[row + 1][column]) : here, weights.sparsity,
                            weights.smoothness);
  }
};

template <typename T, typename Stored, int kChannels, bool kImage>
__global__ void __launch_bounds__(kThreads) backward_full_kernel(const __grid_constant__ BackwardPlan plan) {
  __shared__ LogitsHalo<T> tile;
  const Shape& s = plan.problem.shape;
  const Place place(s, plan.tiles);
  const int channels = static_cast<int>(s.channels), masks_count = static_cast<int>(s.masks);
  const int samples = static_cast<int>(s.samples);
  const int row = threadIdx.x / kThreadColumns + 1, column = threadIdx.x % kThreadColumns * kVector + 1;
  for (int first = 0; first < channels; first += kChannels) {
    const int count = min(channels - first, kChannels);
    T infill[kChannels][4], difference[kChannels][4];
    load_images<kChannels>(plan, place, first, count, infill, difference);
    ImageGradients<kImage, kChannels, T> image_gradients;
    for (int mask = 0; mask < masks_count; ++mask) {
      const int64_t plane = place.image * s.masks + mask;
      tile.load(plan, plane, place);
      __syncthreads();
      const MaskSampler sampler(s, plan.problem.sampling, plan.exponent, place.image, mask);
      T prepared[4], sum[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        prepared[i] = i < place.valid ? sampler.prepare(tile.logits[row][column + i]) : T(1);
        sum[i] = T(0);
      }
      const auto cell = static_cast<uint32_t>(place.pixel(s));
      if (place.valid > 0 && plan.problem.grad_composites) {
        for_each_sample(sampler, samples, cell, prepared, [&](int at, const T(&m)[4]) {
          T g[kChannels][4];
          read_gradient<Stored>(plan, place, plane * s.samples + at, first, count, g);
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            sum[i] += project(g, difference, count, i) * mask_slope(m[i]);
            image_gradients.add(g, count, i, m[i]);
          }
        });
      }
      T* const out = static_cast<T*>(plan.problem.grad_logits) + plane * s.cells() + cell;
      const PenaltyWeights<T> weights(plan, plane);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if (i >= place.valid) continue;
        sum[i] = sum[i] * sampler.inverse_temperature<T>();
        // The first group of channels brings the penalties, the others add to what is there.
        sum[i] += first == 0 ? tile.gradient(s, place, i, weights) : __ldcg(out + i);
      }
      store_four(out, plan.vector_logits, place.valid, sum);
      __syncthreads();  // before the next mask's logits come
    }
    image_gradients.write(plan, place, first, count);
  }
}

// The first pixel along an axis that reads cells from `cell` on, about: never after it.
__device__ __forceinline__ int64_t first_pixel_of(int64_t cell, int64_t cells, int64_t pixels) {
  const int64_t pixel = (2 * cell + 1) * pixels / (2 * cells) - 2;
  return pixel > 0 ? pixel : 0;
}

// How a tile's pixels read cells along one axis.
template <typename T, int kPixels>
struct AxisWeights {
  int first[kPixels];  // in the window; beyond it where the pixel is outside the image
  T weight[kPixels];

  __device__ __forceinline__ void fill(int i, int64_t pixel, int64_t window, int64_t cells, int64_t pixels) {
    if (pixel < pixels) {
      const auto source = source_cell<T>(pixel, cells, pixels);
      first[i] = static_cast<int>(source.first - window);
      weight[i] = source.weight;
    } else {
      first[i] = kTileCells;
      weight[i] = T(0);
    }
  }
  __device__ __forceinline__ T of(int i, int cell) const {
    return first[i] == cell ? T(1) - weight[i] : first[i] + 1 == cell ? weight[i] : T(0);
  }
};

// Adds up, for all cells of one image, what the tiles have summed, and the penalties' gradients.
template <typename T>
__device__ __forceinline__ void combine_tiles(const BackwardPlan& plan, int64_t image) {
  const Shape& s = plan.problem.shape;
  for (int64_t i = threadIdx.x; i < s.masks * s.cells(); i += kThreads) {
    const int64_t plane = image * s.masks + i / s.cells(), cell = i % s.cells();
    const int64_t y = cell / s.cell_columns, x = cell % s.cell_columns;
    T sum = T(0);
    // Tiles from the one of the first pixel that may read the cell on, until one begins after the last that
    // does.
    const int64_t from_row = y > 0 ? first_pixel_of(y - 1, s.cell_rows, s.height) / kTileHeight : 0;
    const int64_t from_column = x > 0 ? first_pixel_of(x - 1, s.cell_columns, s.width) / kTileWidth : 0;
    for (int64_t r = from_row; plan.problem.grad_composites && r < plan.tiles.rows; ++r) {
      if (source_cell<T>(r * kTileHeight, s.cell_rows, s.height).first > y) break;
      for (int64_t c = from_column; c < plan.tiles.columns; ++c) {
        const CellWindow<T> window(s, r * kTileHeight, c * kTileWidth);
        if (window.first_column > x) break;
        if (y >= window.first_row + window.rows || x >= window.first_column + window.columns) continue;
        const int64_t tile = plane * plan.tiles.count() + r * plan.tiles.columns + c;
        const int64_t at = (y - window.first_row) * window.columns + (x - window.first_column);
        sum += __ldcg(static_cast<const T*>(plan.partial_gradients) + tile * kTileCells + at);
      }
    }
    const T* logits = static_cast<const T*>(plan.problem.logits) + plane * s.cells();
    const auto rate = [&](int64_t row, int64_t column) {
      return keep_rate(load_one(logits + row * s.cell_columns + column));
    };
    const PenaltyWeights<T> weights(plan, plane);
    const T here = rate(y, x);
    sum +=
        penalty_gradient(here, x > 0 ? rate(y, x - 1) : here, x + 1 < s.cell_columns ? rate(y, x + 1) : here,
                         y > 0 ? rate(y - 1, x) : here, y + 1 < s.cell_rows ? rate(y + 1, x) : here,
                         weights.sparsity, weights.smoothness);
    store_one(static_cast<T*>(plan.problem.grad_logits) + plane * s.cells() + cell, sum);
  }
}

template <typename T, typename Stored, int kChannels, bool kImage>
__global__ void __launch_bounds__(kThreads) backward_low_kernel(const __grid_constant__ BackwardPlan plan) {
  __shared__ MaskWindow<T> masks;
  __shared__ T sums[kTileCells];
  __shared__ T projected[kTileHeight][kTileWidth];
  __shared__ AxisWeights<T, kTileHeight> rows;
  __shared__ AxisWeights<T, kTileWidth> columns;
  const Shape& s = plan.problem.shape;
  const Place place(s, plan.tiles);
  const int channels = static_cast<int>(s.channels), masks_count = static_cast<int>(s.masks);
  const int samples = static_cast<int>(s.samples);
  const CellWindow<T> window(s, place.first_row, place.first_column);
  const int row = threadIdx.x / kThreadColumns, column = threadIdx.x % kThreadColumns * kVector;
  if (threadIdx.x < kTileWidth)
    columns.fill(threadIdx.x, place.first_column + threadIdx.x, window.first_column, s.cell_columns, s.width);
  if (threadIdx.x < kTileHeight)
    rows.fill(threadIdx.x, place.first_row + threadIdx.x, window.first_row, s.cell_rows, s.height);
  // The sum over the tile's pixels that read cell i of the window.
  const auto gather = [&](int i) {
    const int cell_row = i / window.columns, cell_column = i % window.columns;
    const int64_t left = first_pixel_of(window.first_column + cell_column - 1, s.cell_columns, s.width);
    const int begin = cell_column > 0 ? max(static_cast<int>(left - place.first_column), 0) : 0;
    T total = T(0);
    for (int y = 0; y < kTileHeight; ++y) {
      const T row_weight = rows.of(y, cell_row);
      if (row_weight == T(0)) continue;
      T line = T(0);
      for (int x = begin; x < kTileWidth && columns.first[x] <= cell_column; ++x)
        line += columns.of(x, cell_column) * projected[y][x];
      total += row_weight * line;
    }
    return total;
  };
  for (int first = 0; first < channels; first += kChannels) {
    const int count = min(channels - first, kChannels);
    T infill[kChannels][4], difference[kChannels][4];
    load_images<kChannels>(plan, place, first, count, infill, difference);
    ImageGradients<kImage, kChannels, T> image_gradients;
    for (int mask = 0; plan.problem.grad_composites && mask < masks_count; ++mask) {
      const int64_t plane = place.image * s.masks + mask;
      const MaskSampler sampler(s, plan.problem.sampling, plan.exponent, place.image, mask);
      masks.load(s, plan.problem.logits, plane, window, sampler);
      for (int i = threadIdx.x; i < window.count(); i += kThreads) sums[i] = T(0);
      for (int sample = 0; sample < samples; sample += 4 * sampler.copies()) {
        for (int copy = 0; copy < sampler.copies(); ++copy) {
          masks.sample(s, window, sampler, static_cast<uint32_t>(sample) >> (sampler.copies() == 2 ? 3 : 2),
                       copy == 1);
          if constexpr (kImage) __syncthreads();  // other threads read these masks
#pragma unroll 1
          for (int q = 0; q < 4; ++q) {
            const int at = sample + q * sampler.copies() + copy;
            if (at >= samples) break;
            T g[kChannels][4];
            read_gradient<Stored>(plan, place, plane * s.samples + at, first, count, g);
#pragma unroll
            for (int i = 0; i < 4; ++i) {
              projected[row][column + i] = i < place.valid ? project(g, difference, count, i) : T(0);
              if constexpr (kImage) {
                const Stencil<T> stencil(s, place, window);
                image_gradients.add(g, count, i, stencil(masks.masks[q], i));
              }
            }
            __syncthreads();
            for (int i = threadIdx.x; i < window.count(); i += kThreads)
              sums[i] += gather(i) * mask_slope(masks.masks[q][i]);
            __syncthreads();  // before the next sample is projected
          }
        }
      }
      T* const out =
          static_cast<T*>(plan.partial_gradients) + (plane * plan.tiles.count() + place.tile) * kTileCells;
      for (int i = threadIdx.x; i < window.count(); i += kThreads) {
        const T scaled = sums[i] * sampler.inverse_temperature<T>();
        store_one(out + i, first == 0 ? scaled : scaled + __ldcg(out + i));
      }
    }
    image_gradients.write(plan, place, first, count);
  }
  if (last_block(plan.tickets + place.image, static_cast<uint32_t>(plan.tiles.count())))
    combine_tiles<T>(plan, place.image);
}

}  // namespace sdfido::cuda
