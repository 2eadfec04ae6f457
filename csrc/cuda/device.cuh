// What the kernels share: global memory, random masks, tiles, sums over a block.
#pragma once
#include <cuda_runtime.h>

#include "../math/composite.h"
#include "../math/concrete.h"
#include "../math/penalties.h"
#include "../math/philox.h"
#include "../math/upsample.h"
#include "plan.h"

namespace sdfido::cuda {

// ---- Global memory: four elements in a row, as one access of 16 bytes (two for float64, one of 8 for 16-bit
// formats) where `vector` allows it, else one by one, up to `valid` of them.

__device__ __forceinline__ float load_one(const float* p) { return __ldg(p); }
__device__ __forceinline__ double load_one(const double* p) { return __ldg(p); }
__device__ __forceinline__ float load_one(const BFloat16* p) {
  return load(BFloat16{__ldg(reinterpret_cast<const unsigned short*>(p))});
}
__device__ __forceinline__ float load_one(const Float16* p) {
  return load(Float16{__ldg(reinterpret_cast<const unsigned short*>(p))});
}
__device__ __forceinline__ void store_one(float* p, float v) { __stcg(p, v); }
__device__ __forceinline__ void store_one(double* p, double v) { __stcg(p, v); }
template <typename Stored>
__device__ __forceinline__ void store_one(Stored* p, float v) {
  Stored s;
  store(v, s);
  __stcg(reinterpret_cast<unsigned short*>(p), s.bits);
}

__device__ __forceinline__ void load_vector(const float* p, float (&out)[4]) {
  const float4 v = __ldg(reinterpret_cast<const float4*>(p));
  out[0] = v.x, out[1] = v.y, out[2] = v.z, out[3] = v.w;
}
__device__ __forceinline__ void load_vector(const double* p, double (&out)[4]) {
  const double2 a = __ldg(reinterpret_cast<const double2*>(p)),
                b = __ldg(reinterpret_cast<const double2*>(p) + 1);
  out[0] = a.x, out[1] = a.y, out[2] = b.x, out[3] = b.y;
}
template <typename Stored>
__device__ __forceinline__ void load_vector(const Stored* p, float (&out)[4]) {
  const uint2 v = __ldg(reinterpret_cast<const uint2*>(p));
  const unsigned words[2] = {v.x, v.y};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    out[i] = load(Stored{static_cast<uint16_t>(words[i / 2] >> (16 * (i % 2)))});
  }
}
__device__ __forceinline__ void store_vector(float* p, const float (&v)[4]) {
  __stcg(reinterpret_cast<float4*>(p), make_float4(v[0], v[1], v[2], v[3]));
}
__device__ __forceinline__ void store_vector(double* p, const double (&v)[4]) {
  __stcg(reinterpret_cast<double2*>(p), make_double2(v[0], v[1]));
  __stcg(reinterpret_cast<double2*>(p) + 1, make_double2(v[2], v[3]));
}
template <typename Stored>
__device__ __forceinline__ void store_vector(Stored* p, const float (&v)[4]) {
  Stored s[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) store(v[i], s[i]);
  __stcg(reinterpret_cast<uint2*>(p), make_uint2(s[0].bits | static_cast<unsigned>(s[1].bits) << 16,
                                                 s[2].bits | static_cast<unsigned>(s[3].bits) << 16));
}

template <typename Stored, typename T>
__device__ __forceinline__ void load_four(const Stored* p, bool vector, int valid, T (&out)[4]) {
  if (vector) {
    if (valid > 0) load_vector(p, out);
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i) out[i] = i < valid ? load_one(p + i) : T(0);
  }
}
template <typename Stored, typename T>
__device__ __forceinline__ void store_four(Stored* p, bool vector, int valid, const T (&v)[4]) {
  if (vector) {
    if (valid > 0) store_vector(p, v);
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i)
      if (i < valid) store_one(p + i, v[i]);
  }
}

// Four pixels in a row of one channel of an input of any layout and format.
template <typename Stored, typename T>
__device__ __forceinline__ void load_strided(const StridedInput& input, int64_t offset, bool vector,
                                             int valid, T (&out)[4]) {
  const Stored* p = static_cast<const Stored*>(input.data) + offset;
  if (vector) {
    load_four(p, true, valid, out);
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i) out[i] = i < valid ? load_one(p + i * input.strides[3]) : T(0);
  }
}
__device__ __forceinline__ void load_input(const StridedInput& input, Format format, int64_t offset,
                                           bool vector, int valid, float (&out)[4]) {
  if (format == Format::kFloat32) {
    load_strided<float>(input, offset, vector, valid, out);
  } else if (format == Format::kBFloat16) {
    load_strided<BFloat16>(input, offset, vector, valid, out);
  } else {
    load_strided<Float16>(input, offset, vector, valid, out);
  }
}
__device__ __forceinline__ void load_input(const StridedInput& input, Format, int64_t offset, bool vector,
                                           int valid, double (&out)[4]) {
  load_strided<double>(input, offset, vector, valid, out);
}

// ---- A thread's place: four pixels in a row of one tile of one image.

struct Place {
  int64_t image;
  int32_t tile;
  int32_t first_row, first_column;  // of the tile
  int32_t row, column;              // of the thread's first pixel
  int32_t valid;                    // how many of its pixels are inside the image

  __device__ __forceinline__ Place(const Shape& s, const Tiles& tiles) {
    const auto count = static_cast<uint32_t>(tiles.count());
    image = blockIdx.x / count;
    tile = static_cast<int32_t>(blockIdx.x % count);
    first_row = tile / tiles.columns * kTileHeight;
    first_column = tile % tiles.columns * kTileWidth;
    row = first_row + static_cast<int32_t>(threadIdx.x) / kThreadColumns;
    column = first_column + static_cast<int32_t>(threadIdx.x) % kThreadColumns * kVector;
    const int32_t left = static_cast<int32_t>(s.width) - column;
    valid = row >= s.height || left <= 0 ? 0 : left < kVector ? left : kVector;
  }

  // Of the thread's first pixel in its image.
  __device__ __forceinline__ int32_t pixel(const Shape& s) const {
    return row * static_cast<int32_t>(s.width) + column;
  }
};

// ---- Random masks

// Makes a value one that the compiler knows nothing about, at this point of the program. Left alone, it keeps
// what it can compute ahead (all round keys, all cells' counters at once) in registers, and registers limit
// the number of threads.
__device__ __forceinline__ void forget(uint32_t& value) { asm volatile("" : "+r"(value)); }

// Samples one mask of one image; what all threads know anyway stays in the plan.
struct MaskSampler {
  const Sampling& sampling;
  const Exponent& exponent;
  PhiloxKey key;
  uint32_t step, stream;

  __device__ __forceinline__ MaskSampler(const Shape& s, const Sampling& sampling_, const Exponent& exponent_,
                                         int64_t image, int64_t mask)
      : sampling(sampling_), exponent(exponent_) {
    const auto* const rng = reinterpret_cast<const long long*>(sampling.rng);
    const auto seed = static_cast<uint64_t>(__ldg(rng));
    key = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
    step = static_cast<uint32_t>(__ldg(rng + 1));
    const int64_t number =
        sampling.streams ? __ldg(reinterpret_cast<const long long*>(sampling.streams) + image) : image;
    stream = stream_word(number, s.masks, mask);
  }

  // Samples that share a word.
  __device__ __forceinline__ int copies() const { return sampling.antithetic ? 2 : 1; }

  template <typename T>
  __device__ __forceinline__ T prepare(T logit) const {
    return exponent.power == 0 ? prepare_logit<0>(logit) : prepare_logit<1>(logit);
  }

  // The four words of a cell from which samples [4 * copies * block, 4 * copies * (block + 1)) are made.
  __device__ __forceinline__ void words(uint32_t cell, uint32_t block, uint32_t (&out)[4]) const {
    PhiloxKey now = key;
    forget(now.low), forget(now.high), forget(cell);
    uint64_t c0 = cell, c1 = stream, c2 = block, c3 = step;
    philox4x32_10(c0, c1, c2, c3, now, ScalarLanes{});
    out[0] = static_cast<uint32_t>(c0), out[1] = static_cast<uint32_t>(c1);
    out[2] = static_cast<uint32_t>(c2), out[3] = static_cast<uint32_t>(c3);
    for (uint32_t& word : out) forget(word);  // volatile: the next cell's counter is not touched before
  }

  template <typename T>
  __device__ __forceinline__ T inverse_temperature() const {
    return static_cast<T>(exponent.inverse_temperature);
  }

  template <typename T>
  __device__ __forceinline__ T mask(uint32_t word, bool complement, T prepared) const {
    const T odds = odds_of_word<T>(complement ? ~word : word);
    return mask_of_odds(odds, prepared, inverse_temperature<T>(), exponent.power);
  }
};

// ---- The cells that a tile of pixels reads, below full resolution

template <typename T>
struct CellWindow {
  int64_t first_row, first_column;
  int rows, columns;

  // Of the tile whose first pixel this is.
  __device__ __forceinline__ CellWindow(const Shape& s, int64_t pixel_row, int64_t pixel_column) {
    const int64_t last_row = min(pixel_row + kTileHeight, s.height) - 1;
    const int64_t last_column = min(pixel_column + kTileWidth, s.width) - 1;
    first_row = source_cell<T>(pixel_row, s.cell_rows, s.height).first;
    first_column = source_cell<T>(pixel_column, s.cell_columns, s.width).first;
    const int64_t row_end = min(source_cell<T>(last_row, s.cell_rows, s.height).first + 2, s.cell_rows);
    const int64_t column_end =
        min(source_cell<T>(last_column, s.cell_columns, s.width).first + 2, s.cell_columns);
    rows = static_cast<int>(row_end - first_row);
    columns = static_cast<int>(column_end - first_column);
  }

  __device__ __forceinline__ int count() const { return rows * columns; }
  __device__ __forceinline__ int64_t cell(const Shape& s, int index) const {
    return (first_row + index / columns) * s.cell_columns + first_column + index % columns;
  }
};

// Where a thread's four pixels lie between cells, and the mask there: columns first, then rows.
template <typename T>
struct Stencil {
  int top, bottom;  // offsets of the window's rows
  T row_weight;
  int left[4], right[4];
  T column_weight[4];

  __device__ __forceinline__ Stencil(const Shape& s, const Place& place, const CellWindow<T>& window) {
    const auto row = source_cell<T>(min(int64_t{place.row}, s.height - 1), s.cell_rows, s.height);
    top = static_cast<int>(row.first - window.first_row) * window.columns;
    bottom = row.first + 1 < s.cell_rows ? top + window.columns : top;
    row_weight = row.weight;
#pragma unroll
    for (int i = 0; i < kVector; ++i) {
      const auto column =
          source_cell<T>(min(int64_t{place.column} + i, s.width - 1), s.cell_columns, s.width);
      left[i] = static_cast<int>(column.first - window.first_column);
      right[i] = column.first + 1 < s.cell_columns ? left[i] + 1 : left[i];
      column_weight[i] = column.weight;
    }
  }

  __device__ __forceinline__ T operator()(const T* masks, int i) const {
    const T above = interpolate(masks[top + left[i]], masks[top + right[i]], column_weight[i]);
    const T below = interpolate(masks[bottom + left[i]], masks[bottom + right[i]], column_weight[i]);
    return interpolate(above, below, row_weight);
  }
};

// ---- Sums over the block, in a fixed order; every thread gets the result.

__device__ __forceinline__ double warp_sum(double value) {
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(0xFFFFFFFFu, value, distance);
  return value;
}

__device__ __forceinline__ double block_sum(double value, double* warps) {
  value = warp_sum(value);
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = value;
  __syncthreads();
  double total = 0;
#pragma unroll
  for (int warp = 0; warp < kThreads / 32; ++warp) total += warps[warp];
  __syncthreads();  // before the next sum writes there
  return total;
}

// True in all threads of the block that is the last of `blocks` to come here; it sees what the others wrote
// before.
__device__ __forceinline__ bool last_block(uint32_t* ticket, uint32_t blocks) {
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) last = atomicInc(ticket, blocks - 1) == blocks - 1;
  __syncthreads();
  __threadfence();
  return last;
}

}  // namespace sdfido::cuda
