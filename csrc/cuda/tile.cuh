// What a block keeps of its tile in both passes: image and infill, logits, and the bilinear tables.
#pragma once
#include "device.cuh"

namespace sdfido::cuda {

// Where a thread's pixels are in the composites of a sample, one channel at a time.
struct ChannelWalk {
  int64_t offset;        // of the first pixel in the first channel
  int64_t stride, next;  // from one pixel to the next, and from one channel to the next
  bool vector;

  template <typename Problem>
  __device__ __forceinline__ ChannelWalk(const CompositesPlan<Problem>& plan, const Pixels& pixels, int first) {
    const Shape& s = plan.problem.shape;
    const bool last = plan.problem.channels_last;
    stride = last ? s.channels : 1, next = last ? 1 : s.pixels();
    auto channel = static_cast<uint32_t>(first);
    opaque(channel);
    offset = pixels.offset * stride + channel * next;
    vector = plan.vector_composites && !last;
  }
};

// Four values of each thread for each channel of a group, in shared memory; a thread sees only its own. They lie side by
// side, for one access to all of them, or kApart, for accesses to one of them: those of a warp are then side by side,
// and no two in one bank.
template <typename T, bool kApart = false>
struct alignas(16) ThreadValues {
  T values[kChannels][kThreads * kVector];

  __device__ __forceinline__ T* at(int c) {
    return values[c] + thread_index() * (kApart ? 1 : kVector);  // mutant: thread-values
  }
  __device__ __forceinline__ T at(int c, int i) { return at(c)[kApart ? i * kThreads : i]; }
  __device__ __forceinline__ void load(int c, T (&out)[4]) {
    if constexpr (kApart) {
#pragma unroll
      for (int i = 0; i < kVector; ++i) out[i] = at(c)[i * kThreads];
    } else {
      load_shared(at(c), out);
    }
  }
  __device__ __forceinline__ void store(int c, const T (&in)[4]) {
    if constexpr (kApart) {
#pragma unroll
      for (int i = 0; i < kVector; ++i) at(c)[i * kThreads] = in[i];
    } else {
      store_shared(at(c), in);
    }
  }
  __device__ __forceinline__ void read(int count, T (&out)[kChannels][4]) {
#pragma unroll
    for (int c = 0; c < kChannels; ++c)
      if (c < count) load(c, out[c]);
  }
  __device__ __forceinline__ void write(int count, const T (&in)[kChannels][4]) {
#pragma unroll
    for (int c = 0; c < kChannels; ++c)
      if (c < count) store(c, in[c]);
  }
};

// Infill, and image - infill, of the thread's pixels in channels [first, first + count). Both may be the same memory
// where only the difference is wanted.
template <typename Problem, typename T, bool kApart>
__device__ __forceinline__ void load_images(const CompositesPlan<Problem>& plan, const Place& place, int first,
                                            int count, ThreadValues<T, kApart>& infill,
                                            ThreadValues<T, kApart>& difference) {
  const Problem& p = plan.problem;
  // One body for all, as it has ways for every format and layout.
#pragma unroll 1
  for (int part = 0; part < 2 * count; ++part) {
    const int c = part / 2;
    const bool is_image = part % 2 == 1;
    const StridedInput& from = is_image ? p.image : p.infill;
    const Pixels pixels = place.pixels(p.shape);
    const int64_t offset = place.image * from.strides[0] + (first + c) * from.strides[1] +
                           pixels.row * from.strides[2] + pixels.column * from.strides[3];  // mutant: image-strides
    T values[4];
    load_input(from, p.image_format, offset, is_image ? plan.vector_image : plan.vector_infill, pixels.valid, values);
    if (is_image) {
      T before[4];
      infill.load(c, before);
#pragma unroll
      for (int i = 0; i < 4; ++i) values[i] = values[i] - before[i];
    }
    (is_image ? difference : infill).store(c, values);
  }
}

// Logits of a tile of cells and of the cells around it, in shared memory. Rows are one longer, so that threads of four
// rows, four columns apart, read different banks.
template <typename T>
struct LogitsTile {
  T logits[kTileHeight + 2][kTileWidth + 3];

  __device__ __forceinline__ T at(int row, int column) const { return logits[row + 1][column + 1]; }

  // All threads; the caller synchronises. The cells above and to the left come only where `around`.
  template <typename Problem>
  __device__ __forceinline__ void load(const CompositesPlan<Problem>& plan, int64_t plane, int first_row,
                                       int first_column, bool around) {
    const Shape& s = plan.problem.shape;
    const T* const from = static_cast<const T*>(plan.problem.logits) + plane * s.cells();
    const int rows = static_cast<int>(s.cell_rows), columns = static_cast<int>(s.cell_columns);
    {
      const int thread = thread_index();
      const int row = thread / kThreadColumns, column = thread % kThreadColumns * kVector;
      const int y = first_row + row, x = first_column + column;
      const int valid = y < rows ? columns - x : 0;
      T values[4];
      load_four(from + y * columns + x, 1, plan.vector_logits, valid, values);
#pragma unroll
      for (int i = 0; i < 4; ++i)
        if (i < valid) logits[row + 1][column + 1 + i] = values[i];
    }
    // First the row below and the column to the right, then those above and to the left.
    constexpr int kRing = kTileWidth + kTileHeight;  // mutant: ring
#pragma unroll 1
    for (int i = thread_index(); i < (around ? 2 * kRing : kRing); i += kThreads) {
      const bool after = i < kRing;
      const int j = after ? i : i - kRing;
      const int row = j >= kTileWidth ? j - kTileWidth : after ? kTileHeight : -1;
      const int column = j < kTileWidth ? j : after ? kTileWidth : -1;
      const int y = first_row + row, x = first_column + column;
      // mutant: ring-cell
      if (y >= 0 && x >= 0 && y < rows && x < columns) logits[row + 1][column + 1] = load_one(from + y * columns + x);
    }
  }
};

// The cells that a tile of pixels reads, below full resolution.
struct CellWindow {
  int first_row, first_column, rows, columns;

  // Of the tile whose first pixel this is.
  template <typename T>
  __device__ __forceinline__ void find(const Shape& s, int64_t pixel_row, int64_t pixel_column) {
    const int64_t last_row = min(pixel_row + kTileHeight, s.height) - 1;
    const int64_t last_column = min(pixel_column + kTileWidth, s.width) - 1;
    first_row = source_cell<T>(pixel_row, s.cell_rows, s.height).first;
    first_column = source_cell<T>(pixel_column, s.cell_columns, s.width).first;
    // mutant: window-rows
    const int64_t row_end = min(source_cell<T>(last_row, s.cell_rows, s.height).first + 2, s.cell_rows);
    const int64_t column_end = min(source_cell<T>(last_column, s.cell_columns, s.width).first + 2, s.cell_columns);
    rows = static_cast<int>(row_end - first_row);
    columns = static_cast<int>(column_end - first_column);
  }

  __device__ __forceinline__ int count() const { return rows * columns; }
  __device__ __forceinline__ int cell(const Shape& s, int index) const {
    return (first_row + index / columns) * static_cast<int>(s.cell_columns) + first_column + index % columns;
  }
};

// Which cells of a window a tile's pixels read, along one axis.
template <typename T, int kPixels>
struct AxisStencil {
  alignas(16) int first[kPixels];
  alignas(16) T weight[kPixels];  // of the next cell, where there is one
  uint8_t begin[kPixels + 4];     // the first pixel that reads a cell, or one after it; beyond the last one, kPixels

  // All threads. Pixels outside the image read what the last one inside reads.
  __device__ __forceinline__ void fill(int first_pixel, int64_t pixels, int first_cell, int64_t cells) {
    const int i = thread_index();
    if (i >= kPixels) return;
    const auto source = source_cell<T>(min(int64_t{first_pixel} + i, pixels - 1), cells, pixels);
    first[i] = static_cast<int>(source.first) - first_cell;
    weight[i] = source.weight;
    if (i == 0) begin[0] = 0;
    const int64_t before = max(first_pixel + i - 1, first_pixel);
    // From one pixel to the next, the cell changes by one at most.
    if (i == 0 || source_cell<T>(min(before, pixels - 1), cells, pixels).first != source.first)
      begin[first[i] + 1] = static_cast<uint8_t>(i);  // mutant: gather-begin
    if (i == kPixels - 1) begin[first[i] + 2] = begin[first[i] + 3] = kPixels;
  }

  // The sum over the pixels that read a cell, whose values are kStep apart: first over those for which it is the next
  // one. Threads of successive cells keep in step in each of the loops, so that they rarely meet in a bank.
  template <int kStep>
  __device__ __forceinline__ T gather(int cell, const T* values) const {
    const int own = begin[cell + 1], end = begin[cell + 2];
    T sum = T(0);
#pragma unroll 1
    for (int i = begin[cell]; i < own; ++i) sum += weight[i] * values[i * kStep];
#pragma unroll 1
    for (int i = own; i < end; ++i) sum += (T(1) - weight[i]) * values[i * kStep];  // mutant: cell-weights
    return sum;
  }
};

// Between which cells a tile's pixels lie, in shared memory.
template <typename T>
struct Stencil {
  CellWindow window;
  AxisStencil<T, kTileHeight> rows;
  AxisStencil<T, kTileWidth> columns;

  // All threads, of which the first has found the place. When it returns, they may read place and window; the caller
  // synchronises before they read the weights.
  __device__ __forceinline__ void fill(const Shape& s, const Place& place) {
    if (threadIdx.x == 0) window.find<T>(s, place.first_row, place.first_column);
    __syncthreads();  // before others read the place and the window
    rows.fill(place.first_row, s.height, window.first_row, s.cell_rows);
    columns.fill(place.first_column, s.width, window.first_column, s.cell_columns);
  }

  // A mask at the thread's pixels: columns first, then rows.
  __device__ __forceinline__ void interpolate(const T* masks, T (&m)[4]) const {
    const int thread = thread_index();
    const int row = thread / kThreadColumns, column = thread % kThreadColumns * kVector;
    const int first_row = rows.first[row];
    const T* const above = masks + first_row * window.columns;
    const T* const below = first_row + 1 < window.rows ? above + window.columns : above;
    const int4 first = *reinterpret_cast<const int4*>(columns.first + column);
    const int lefts[4] = {first.x, first.y, first.z, first.w};
    T weights[4];
    load_shared(columns.weight + column, weights);
#pragma unroll
    for (int i = 0; i < kVector; ++i) {
      const int left = lefts[i], right = left + 1 < window.columns ? left + 1 : left;
      const T weight = weights[i];
      m[i] = sdfido::interpolate(sdfido::interpolate(above[left], above[right], weight),
                                 // mutant: row-weight
                                 sdfido::interpolate(below[left], below[right], weight), rows.weight[row]);
    }
  }
};

}  // namespace sdfido::cuda
