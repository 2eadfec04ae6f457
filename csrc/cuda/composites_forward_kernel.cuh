// Composites and, where masks are sampled, penalties in one launch.
//
// A block computes a tile of pixels of one image for all masks and samples; a thread keeps image and infill of its four
// pixels in registers. Four samples at a time, the block computes, or fetches, the masks of its cells into shared
// memory: the tile's own at full resolution, below it those that the tile reads. Masks that are given at full
// resolution go straight to registers. Penalties: each block sums a tile of cells, the last block of an image adds the
// blocks' sums in order.
#pragma once
#include "mask_source.cuh"
#include "pieces.cuh"

namespace sdfido::cuda {

// Writes one sample's composite of the thread's pixels in channels [first, first + count).
template <typename Stored, typename Problem, typename T>
__device__ __forceinline__ void write_composite(const CompositesPlan<Problem>& plan, const Place& place, int mask,
                                                int sample, int first, int count, const T (&infill)[kChannels][4],
                                                const T (&difference)[kChannels][4], const T (&m)[4]) {
  const Shape& s = plan.problem.shape;
  const Pixels pixels = place.pixels(s);
  Stored* const out = static_cast<Stored*>(plan.problem.composites) + composite_offset(plan, place.image, mask, sample);
  if (plan.problem.channels_last && kChannels == s.channels && plan.vector_composites) {
    // Four pixels of all channels are 4 * kChannels elements in a row: a piece for each channel.
    const auto values_of = [&](int piece, T(&values)[4]) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int at = piece * 4 + i, p = at / kChannels, c = at % kChannels;  // mutant: channels-last
        values[i] = composite(infill[c][p], difference[c][p], m[p]);
      }
    };
    write_pieces(out, s, pixels, values_of);
  } else if (kChannels == s.channels && plan.vector_composites) {
    if (pixels.valid <= 0) return;
    Stored* to = out + pixels.offset;
#pragma unroll
    for (int c = 0; c < kChannels; ++c, to += s.pixels()) {
      T values[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) values[i] = composite(infill[c][i], difference[c][i], m[i]);
      store_vector(to, values);
    }
  } else {
    const ChannelWalk walk(plan, pixels, first);
    Stored* to = out + walk.offset;
#pragma unroll
    for (int c = 0; c < kChannels; ++c, to += walk.next) {
      if (c >= count) continue;
      T values[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) values[i] = composite(infill[c][i], difference[c][i], m[i]);
      store_four(to, walk.stride, walk.vector, pixels.valid, values);
    }
  }
}

// The penalties' sums over a tile of cells: rates, and differences to the right and below.
struct BlockSums {
  static constexpr int kWarps = kThreads / 32;
  double warps[2][kWarps];

  // All threads; when it returns, none of them reads the tile any more. The sums of one mask go to the block's place.
  template <typename T>
  __device__ __forceinline__ void add(const CompositesPlan<CompositesForward>& plan, const Place& place, int mask,
                                      const LogitsTile<T>& tile, int first_row, int first_column) {
    const Shape& s = plan.problem.shape;
    const int thread = thread_index();
    const int row = thread / kThreadColumns, column = thread % kThreadColumns * kVector;
    const int left = static_cast<int>(s.cell_columns) - first_column - column;
    const int below = static_cast<int>(s.cell_rows) - first_row - row - 1;
    double area = 0, change = 0;
    if (below >= 0 && left > 0) {
      T here = keep_rate(tile.at(row, column));
#pragma unroll 1
      for (int i = 0; i < min(kVector, left); ++i) {
        area += static_cast<double>(here);
        if (below > 0) change += static_cast<double>(variation(keep_rate(tile.at(row + 1, column + i)), here));
        if (i + 1 == left) break;
        const T right = keep_rate(tile.at(row, column + i + 1));
        change += static_cast<double>(variation(right, here));
        here = right;
      }
    }
    area = warp_sum(area);
    if (thread % 32 == 0) warps[0][thread / 32] = area;
    change = warp_sum(change);
    if (thread % 32 == 0) warps[1][thread / 32] = change;
    __syncthreads();  // before the warps' sums are read
    if (thread >= 2) return;
    double sum = 0;
#pragma unroll
    for (int warp = 0; warp < kWarps; ++warp) sum += warps[thread][warp];
    const int64_t block = (place.image * s.masks + mask) * plan.tiles.count() + place.tile;  // mutant: sums-tile
    __stcg(plan.partial_sums + 2 * block + thread, sum);
  }
};

// The last block of an image adds up all blocks' sums, in the order of the tiles.
template <typename T>
__device__ __forceinline__ void finish_penalties(const CompositesPlan<CompositesForward>& plan, const Place& place) {
  const Shape& s = plan.problem.shape;
  if (!place.penalties) return;
  if (!last_block(plan.tickets + place.image, static_cast<uint32_t>(plan.penalty_blocks()))) return;
  for (int64_t i = threadIdx.x; i < 2 * s.masks; i += kThreads) {
    const int64_t plane = place.image * s.masks + i / 2;
    double sum = 0;
    for (int64_t tile = 0; tile < plan.tiles.count(); ++tile)  // mutant: sums-order
      sum += __ldcg(plan.partial_sums + 2 * (plane * plan.tiles.count() + tile) + i % 2);
    T* out = static_cast<T*>(i % 2 ? plan.problem.smoothness : plan.problem.sparsity);
    store_one(out + plane, static_cast<T>(sum / static_cast<double>(s.cells())));
  }
}

// Images on their way to registers, then masks.
template <typename T, typename Masks>
union ForwardMemory {
  struct {
    ThreadValues<T> infill, difference;
  } images;
  Masks masks;
};

template <typename Problem, typename T, typename Stored>
__global__ void __launch_bounds__(kThreads, kBlocks<T>)
    forward_full_kernel(const __grid_constant__ CompositesPlan<Problem> plan) {
  __shared__ Place place;
  __shared__ IfSampled<Problem, RandomState> random;
  __shared__ IfSampled<Problem, LogitsTile<T>> tile;
  __shared__ ForwardMemory<T, TileMasks<Problem, T>> memory;
  auto& masks = memory.masks;
  __shared__ IfSampled<Problem, BlockSums> sums;
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
    T infill[kChannels][4], difference[kChannels][4];
    if (place.end_sample > 0) {
      load_images(plan, place, first, count, memory.images.infill, memory.images.difference);
      memory.images.infill.read(count, infill), memory.images.difference.read(count, difference);
    }
#pragma unroll 1
    for (int mask = place.first_mask; mask < place.end_mask; ++mask) {
      if constexpr (Problem::kSampled) {
        tile.load(plan, place.image * s.masks + mask, place.first_row, place.first_column, false);
        __syncthreads();  // before others read the logits, and masks take the memory of the images
      }
      if (place.end_sample > 0) {
        masks.for_each(plan, place, random, mask, tile, [&](int sample, const T(&m)[4]) {
          write_composite<Stored>(plan, place, mask, sample, first, count, infill, difference, m);
        });
      }
      if constexpr (Problem::kSampled) {
        if (first == 0 && place.penalties) sums.add(plan, place, mask, tile, place.first_row, place.first_column);
      }
    }
  }
  if constexpr (Problem::kSampled) finish_penalties<T>(plan, place);
}

template <typename Problem, typename T, typename Stored>
__global__ void __launch_bounds__(kThreads, kBlocks<T>)
    forward_low_kernel(const __grid_constant__ CompositesPlan<Problem> plan) {
  __shared__ Place place;
  __shared__ IfSampled<Problem, RandomState> random;
  __shared__ IfSampled<Problem, LogitsTile<T>> tile;
  __shared__ ForwardMemory<T, CellMasks<Problem, T, 4>> memory;
  auto& masks = memory.masks;
  __shared__ Stencil<T> stencil;
  __shared__ IfSampled<Problem, BlockSums> sums;
  const Shape& s = plan.problem.shape;
  if (threadIdx.x == 0) {
    place.find(plan);
    if constexpr (Problem::kSampled) random.load(s, plan.problem.sampling, place.image);
  }
  stencil.fill(s, place);
  const int channels = static_cast<int>(s.channels);
#pragma unroll 1
  for (int first = 0; first < channels; first += kChannels) {
    const int count = min(channels - first, kChannels);
    T infill[kChannels][4], difference[kChannels][4];
    if (place.end_sample > 0) {
      load_images(plan, place, first, count, memory.images.infill, memory.images.difference);
      memory.images.infill.read(count, infill), memory.images.difference.read(count, difference);
      __syncthreads();  // before masks take the memory of the images
    }
#pragma unroll 1
    for (int mask = place.first_mask; mask < place.end_mask; ++mask) {
      if (place.end_sample > 0) {
        masks.for_each(plan, place, random, mask, stencil.window, [&](int sample, const T* values) {
          T m[4];
          stencil.interpolate(values, m);
          write_composite<Stored>(plan, place, mask, sample, first, count, infill, difference, m);
        });
      }
      if constexpr (Problem::kSampled) {
        if (first != 0 || !place.penalties) continue;
        // Tiles of cells are at most as many as tiles of pixels: the first blocks take one each.
        auto number = static_cast<uint32_t>(place.tile);
        opaque(number);
        const auto columns = static_cast<uint32_t>(tiles_of(s.cell_rows, s.cell_columns).columns);
        const int first_row = static_cast<int>(number / columns) * kTileHeight;
        const int first_column = static_cast<int>(number % columns) * kTileWidth;
        if (first_row < s.cell_rows) tile.load(plan, place.image * s.masks + mask, first_row, first_column, false);
        __syncthreads();  // before others read the logits
        sums.add(plan, place, mask, tile, first_row, first_column);
      }
    }
  }
  if constexpr (Problem::kSampled) finish_penalties<T>(plan, place);
}

}  // namespace sdfido::cuda
