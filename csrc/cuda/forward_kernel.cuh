// Composites and penalties in one launch.
//
// A block computes a tile of pixels of one image for all masks and samples; a thread keeps image and infill
// of its four pixels in registers. Full resolution: a thread samples its own pixels. Below: the block samples
// the cells under its tile into shared memory, four samples at a time. Penalties: each block sums a tile of
// cells, the last block of an image adds the blocks' sums in order.
#pragma once
#include "tile.cuh"

namespace sdfido::cuda {

// Writes one sample's composite of the thread's pixels in channels [first, first + count).
template <typename Stored, int kChannels, typename T>
__device__ __forceinline__ void write_composite(const CompositePlan<CompositeForward>& plan,
                                                const Place& place, int64_t sample, int first, int count,
                                                const T (&infill)[kChannels][4],
                                                const T (&difference)[kChannels][4], const T (&m)[4]) {
  const Shape& s = plan.problem.shape;
  const int64_t pixel = place.pixel(s);
  Stored* const out = static_cast<Stored*>(plan.problem.composites) + sample * s.channels * s.pixels();
  if (!plan.problem.channels_last) {
#pragma unroll
    for (int c = 0; c < kChannels; ++c) {
      if (c >= count) continue;
      T values[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) values[i] = composite(infill[c][i], difference[c][i], m[i]);
      store_four(out + (first + c) * s.pixels() + pixel, plan.vector_composites, place.valid, values);
    }
  } else if (kChannels == s.channels && plan.vector_composites) {
    // Four pixels of all channels are 4 * kChannels elements in a row.
#pragma unroll
    for (int part = 0; part < kChannels; ++part) {
      T values[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int at = part * 4 + i, p = at / kChannels, c = at % kChannels;
        values[i] = composite(infill[c][p], difference[c][p], m[p]);
      }
      store_four(out + pixel * kChannels + part * 4, true, place.valid, values);
    }
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int c = 0; c < kChannels; ++c) {
        if (i < place.valid && c < count)
          store_one(out + (pixel + i) * s.channels + first + c,
                    composite(infill[c][i], difference[c][i], m[i]));
      }
    }
  }
}

// Rates of a tile of cells with one more row below and one more column to the right, from its logits.
template <typename T>
struct RatesTile {
  static constexpr int kWidth = kTileWidth + 1, kHeight = kTileHeight + 1;
  T logits[kHeight][kWidth];

  // All threads; the caller synchronises.
  __device__ __forceinline__ void load(const CompositePlan<CompositeForward>& plan, int64_t plane,
                                       int64_t first_row, int64_t first_column) {
    const Shape& s = plan.problem.shape;
    const T* from = static_cast<const T*>(plan.problem.logits) + plane * s.cells();
    for (int i = threadIdx.x; i < kHeight * (kThreadColumns + 1); i += kThreads) {
      const int row = i / (kThreadColumns + 1), column = i % (kThreadColumns + 1) * kVector;
      const int64_t y = first_row + row, x = first_column + column;
      if (y >= s.cell_rows || x >= s.cell_columns) continue;
      const T* at = from + y * s.cell_columns + x;
      if (column == kTileWidth) {
        if (row < kTileHeight) logits[row][column] = load_one(at);
        continue;
      }
      const int64_t left = s.cell_columns - x;
      const int valid = left < kVector ? static_cast<int>(left) : kVector;
      T values[4];
      load_four(at, plan.vector_logits, valid, values);
#pragma unroll
      for (int j = 0; j < 4; ++j)
        if (j < valid) logits[row][column + j] = values[j];
    }
  }

  // This thread's share of the sums over the tile: rates, and differences to the right and below.
  __device__ __forceinline__ void add(const Shape& s, int64_t first_row, int64_t first_column, double& area,
                                      double& change) const {
    const int row = threadIdx.x / kThreadColumns, column = threadIdx.x % kThreadColumns * kVector;
#pragma unroll
    for (int i = 0; i < kVector; ++i) {
      const int64_t y = first_row + row, x = first_column + column + i;
      if (y >= s.cell_rows || x >= s.cell_columns) continue;
      const T rate = keep_rate(logits[row][column + i]);
      area += static_cast<double>(rate);
      if (x + 1 < s.cell_columns)
        change += static_cast<double>(variation(keep_rate(logits[row][column + i + 1]), rate));
      if (y + 1 < s.cell_rows)
        change += static_cast<double>(variation(keep_rate(logits[row + 1][column + i]), rate));
    }
  }
};

// The block's sums of one mask go to its place.
__device__ __forceinline__ void write_sums(const CompositePlan<CompositeForward>& plan, const Place& place,
                                           int64_t mask, double area, double change, double* warps) {
  area = block_sum(area, warps);
  change = block_sum(change, warps);
  if (threadIdx.x == 0) {
    const int64_t block = (place.image * plan.problem.shape.masks + mask) * plan.tiles.count() + place.tile;
    __stcg(plan.partial_sums + 2 * block, area);
    __stcg(plan.partial_sums + 2 * block + 1, change);
  }
}

// The last block of an image adds up all blocks' sums, in the order of the tiles.
template <typename T>
__device__ __forceinline__ void finish_penalties(const CompositePlan<CompositeForward>& plan,
                                                 const Place& place) {
  const Shape& s = plan.problem.shape;
  if (!last_block(plan.tickets + place.image, static_cast<uint32_t>(plan.tiles.count()))) return;
  for (int64_t i = threadIdx.x; i < 2 * s.masks; i += kThreads) {
    const int64_t plane = place.image * s.masks + i / 2;
    double sum = 0;
    for (int64_t tile = 0; tile < plan.tiles.count(); ++tile)
      sum += __ldcg(plan.partial_sums + 2 * (plane * plan.tiles.count() + tile) + i % 2);
    T* out = static_cast<T*>(i % 2 ? plan.problem.smoothness : plan.problem.sparsity);
    store_one(out + plane, static_cast<T>(sum / static_cast<double>(s.cells())));
  }
}

// Channels in groups of kChannels; image and infill are read once, masks sampled once more for each group.
template <typename T, typename Stored, int kChannels>
__global__ void __launch_bounds__(kThreads)
    forward_full_kernel(const __grid_constant__ CompositePlan<CompositeForward> plan) {
  __shared__ RatesTile<T> tile;
  __shared__ double warps[kThreads / 32];
  const Shape& s = plan.problem.shape;
  const Place place(s, plan.tiles);
  const int channels = static_cast<int>(s.channels), masks_count = static_cast<int>(s.masks);
  const int samples = static_cast<int>(s.samples);
  const int row = threadIdx.x / kThreadColumns, column = threadIdx.x % kThreadColumns * kVector;
  for (int first = 0; first < channels; first += kChannels) {
    const int count = min(channels - first, kChannels);
    T infill[kChannels][4], difference[kChannels][4];
    load_images<kChannels>(plan, place, first, count, infill, difference);
    for (int mask = 0; mask < masks_count; ++mask) {
      const int64_t plane = place.image * s.masks + mask;
      tile.load(plan, plane, place.first_row, place.first_column);
      __syncthreads();
      const MaskSampler sampler(s, plan.problem.sampling, plan.exponent, place.image, mask);
      T prepared[4];
#pragma unroll
      for (int i = 0; i < 4; ++i)
        prepared[i] = i < place.valid ? sampler.prepare(tile.logits[row][column + i]) : T(1);
      if (place.valid > 0) {
        for_each_sample(sampler, samples, static_cast<uint32_t>(place.pixel(s)), prepared,
                        [&](int at, const T(&m)[4]) {
                          write_composite<Stored>(plan, place, plane * s.samples + at, first, count, infill,
                                                  difference, m);
                        });
      }
      if (first == 0) {
        double area = 0, change = 0;
        tile.add(s, place.first_row, place.first_column, area, change);
        write_sums(plan, place, mask, area, change, warps);
      }
      __syncthreads();  // before the next mask's logits come
    }
  }
  finish_penalties<T>(plan, place);
}

template <typename T, typename Stored, int kChannels>
__global__ void __launch_bounds__(kThreads)
    forward_low_kernel(const __grid_constant__ CompositePlan<CompositeForward> plan) {
  __shared__ RatesTile<T> tile;
  __shared__ MaskWindow<T> masks;
  __shared__ double warps[kThreads / 32];
  const Shape& s = plan.problem.shape;
  const Place place(s, plan.tiles);
  const int channels = static_cast<int>(s.channels), masks_count = static_cast<int>(s.masks);
  const int samples = static_cast<int>(s.samples);
  const CellWindow<T> window(s, place.first_row, place.first_column);
  const Stencil<T> stencil(s, place, window);
  const Tiles cell_tiles = tiles_of(s.cell_rows, s.cell_columns);
  for (int first = 0; first < channels; first += kChannels) {
    const int count = min(channels - first, kChannels);
    T infill[kChannels][4], difference[kChannels][4];
    load_images<kChannels>(plan, place, first, count, infill, difference);
    for (int mask = 0; mask < masks_count; ++mask) {
      const int64_t plane = place.image * s.masks + mask;
      const MaskSampler sampler(s, plan.problem.sampling, plan.exponent, place.image, mask);
      masks.load(s, plan.problem.logits, plane, window, sampler);
      for (int sample = 0; sample < samples; sample += 4 * sampler.copies()) {
        for (int copy = 0; copy < sampler.copies(); ++copy) {
          masks.sample(s, window, sampler, static_cast<uint32_t>(sample) >> (sampler.copies() == 2 ? 3 : 2),
                       copy == 1);
          __syncthreads();
#pragma unroll 1
          for (int q = 0; q < 4; ++q) {
            const int at = sample + q * sampler.copies() + copy;
            if (at >= samples) break;
            T m[4];
#pragma unroll
            for (int i = 0; i < 4; ++i) m[i] = stencil(masks.masks[q], i);
            write_composite<Stored>(plan, place, plane * s.samples + at, first, count, infill, difference, m);
          }
          __syncthreads();  // before the masks are overwritten
        }
      }
      // Tiles of cells are at most as many as tiles of pixels: the first blocks take one each.
      if (first == 0) {
        double area = 0, change = 0;
        if (place.tile < cell_tiles.count()) {
          const int64_t first_row = place.tile / cell_tiles.columns * kTileHeight;
          const int64_t first_column = place.tile % cell_tiles.columns * kTileWidth;
          tile.load(plan, plane, first_row, first_column);
          __syncthreads();
          tile.add(s, first_row, first_column, area, change);
        }
        write_sums(plan, place, mask, area, change, warps);
      }
    }
  }
  finish_penalties<T>(plan, place);
}

}  // namespace sdfido::cuda
