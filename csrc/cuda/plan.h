// How a problem is cut into blocks and which accesses may be 128 bits wide: decided on the host, read by the kernels.
#pragma once
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "../math/concrete.h"
#include "../problem.h"

namespace sdfido::cuda {

// A block computes a tile of 32 x 16 pixels, four in a row to a thread.
inline constexpr int kVector = 4;
inline constexpr int kTileWidth = 32, kTileHeight = 16;
inline constexpr int kThreadColumns = kTileWidth / kVector;
inline constexpr int kThreads = kThreadColumns * kTileHeight;
// A multiprocessor takes at least so many blocks, which gives each thread 64 registers and, on sm_80 and sm_90, half of
// all threads a place. float64 is for checks only. From sm_100 on, the compiler needs some more registers where
// gradients of image and infill are summed up, too.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
inline constexpr int kImageBlocks = 6;
#else
inline constexpr int kImageBlocks = 8;
#endif
// Gradients at full resolution need fewer registers. A multiprocessor of sm_75 takes no more than 1024 threads; from
// sm_100 on, the compiler has not enough of them with nine blocks.
#if defined(__CUDA_ARCH__) && (__CUDA_ARCH__ < 800 || __CUDA_ARCH__ >= 1000)
inline constexpr int kLeanBlocks = 8;
#else
inline constexpr int kLeanBlocks = 9;
#endif
template <typename T, bool kImage = false, bool kLean = false>
inline constexpr int kBlocks = sizeof(T) == 8 ? 1
                               : kImage       ? kImageBlocks
                               : kLean        ? kLeanBlocks
                                              : 8;
// Channels are computed three at a time, each group from masks sampled anew.
inline constexpr int kChannels = 3;
// A launch of fewer blocks is divided further, by masks and samples: about four blocks for each multiprocessor of an
// A100 or H100. Masks are drawn four samples at a time; where that costs little, a block may have two of them.
inline constexpr int64_t kEnoughBlocks = 512;
inline constexpr int64_t kSamplesAtOnce = 4, kFewestSamples = 2;
// With at most as many cells as pixels, a tile of pixels reads at most this many cells.
inline constexpr int kWindowWidth = kTileWidth + 2, kWindowHeight = kTileHeight + 2;
inline constexpr int kTileCells = kWindowWidth * kWindowHeight;

struct Tiles {
  int32_t columns, rows;
  SDFIDO_INLINE int64_t count() const { return int64_t{columns} * rows; }
};

SDFIDO_INLINE Tiles tiles_of(int64_t height, int64_t width) {
  return {static_cast<int32_t>((width + kTileWidth - 1) / kTileWidth),
          static_cast<int32_t>((height + kTileHeight - 1) / kTileHeight)};
}

// Whether four elements in a row always lie in one piece of memory that one access may move.
inline bool vector_access(const void* data, int64_t width, int64_t element) {
  return reinterpret_cast<uintptr_t>(data) % (4 * static_cast<uintptr_t>(element)) == 0 && width % kVector == 0;
}

template <size_t n>
bool vector_access(const void* data, const int64_t (&strides)[n], int64_t width, int64_t element) {
  bool aligned = vector_access(data, width, element) && strides[n - 1] == 1;
  for (size_t d = 0; d + 1 < n; ++d) aligned = aligned && strides[d] % kVector == 0;
  return aligned;
}

// What sampling needs to know besides the random state.
struct Exponent {
  double inverse_temperature;
  int32_t power;   // 1/temperature where that is a small integer, else 0
  float smallest;  // factor of that power that counts

  explicit Exponent(double temperature)
      : inverse_temperature(1.0 / temperature), power(power_of(temperature)), smallest(smallest_factor(power)) {}
};

// At least as many cells of an axis as a tile reads: a tile's positions lie (tile - 1) * cells / pixels apart, each
// pixel reads two cells, and positions are rounded.
inline int64_t window_limit(int64_t cells, int64_t pixels, int64_t tile) {
  const int64_t limit = (tile - 1) * cells / pixels + 4;
  return limit < cells ? limit : cells;
}

// What depends on where the masks come from.
template <bool kSampled>
struct SourcePlan {
  bool vector_masks, vector_mask_gradients = false;
};
template <>
struct SourcePlan<true> {
  Exponent exponent{1.0};
  bool vector_logits;
};

// How the work on a tile is divided between blocks. A block has all masks and samples, or some samples of one mask; then
// there may be blocks for a mask's penalties, which have no samples. Which block does what changes no bit of a result.
struct Division {
  bool by_mask = false;
  bool penalties = false;    // whether they have blocks of their own
  int32_t part_samples = 0;  // of a block
  int32_t sample_parts = 1;  // of a mask
  int32_t blocks = 1;        // for a tile
};

template <typename Problem>
struct CompositesPlan : SourcePlan<Problem::kSampled> {
  Problem problem;
  Tiles tiles;
  Division division;
  int64_t tile_cells;            // below full resolution: at least as many as a tile reads
  int64_t composite_strides[3];  // from one image, one mask and one sample to the next
  bool vector_image, vector_infill, vector_composites, vector_image_gradients = false;
  double* partial_sums = nullptr;  // forward, masks sampled: [images, masks, tiles, 2]
  // Backward, what is added up by a second launch: [images, masks, tiles, tile_cells] below full resolution; one more
  // dimension, the samples, after masks where those are given or divided, and [images, masks, samples, cells] at full
  // resolution.
  void* partial_gradients = nullptr;
  uint32_t* tickets = nullptr;  // forward, masks sampled: [images], zero before and after

  // Launches of fewer than `enough` blocks are divided.
  explicit CompositesPlan(const Problem& p, int64_t enough = kEnoughBlocks)
      : problem(p), tiles(tiles_of(p.shape.height, p.shape.width)) {
    const Shape& s = p.shape;
    problem.channels_last = p.channels_last && s.channels > 1;  // else the layouts are the same
    tile_cells = window_limit(s.cell_rows, s.height, kTileHeight) * window_limit(s.cell_columns, s.width, kTileWidth);
    composite_strides[2] = s.channels * s.pixels();
    composite_strides[1] = s.samples * composite_strides[2];
    composite_strides[0] = s.masks * composite_strides[1];
    const int64_t pixel = element_size(p.image_format), composite = element_size(p.composite_format);
    const int64_t mask = p.composite_format == Format::kFloat64 ? 8 : 4;
    vector_image = vector_access(p.image.data, p.image.strides, s.width, pixel);
    vector_infill = vector_access(p.infill.data, p.infill.strides, s.width, pixel);
    if constexpr (kBackward) {
      vector_composites = vector_access(p.grad_composites, s.width, composite);
      vector_image_gradients =
          vector_access(p.grad_image, s.width, pixel) && vector_access(p.grad_infill, s.width, pixel);
    } else {
      vector_composites = vector_access(p.composites, s.width, composite);
    }
    if constexpr (Problem::kSampled) {
      this->exponent = Exponent(p.sampling.temperature);
      this->vector_logits = vector_access(p.logits, s.cell_columns, mask);
    } else {
      this->vector_masks = vector_access(p.masks.data, p.masks.strides, s.cell_columns, mask);
      if constexpr (kBackward) this->vector_mask_gradients = vector_access(p.grad_masks, s.cell_columns, mask);
    }
    divide(enough);
  }

  int64_t blocks() const { return problem.shape.images * tiles.count() * division.blocks; }
  // Forward: those of an image that sum up penalties.
  SDFIDO_INLINE int64_t penalty_blocks() const { return tiles.count() * (division.by_mask ? problem.shape.masks : 1); }

  // Backward: what tiles, or parts of the samples, have of the masks' gradient takes a second launch.
  bool needs_combining() const {
    if constexpr (std::is_same_v<Problem, BlendBackward>) {
      return problem.grad_masks && !problem.shape.full_resolution();
    } else {
      return kBackward && (!problem.shape.full_resolution() || separate_samples());
    }
  }
  // Whether the second launch adds up samples of logits, too.
  SDFIDO_INLINE bool separate_samples() const { return Problem::kSampled && division.sample_parts > 1; }
  // Of all logits, or of all given masks.
  SDFIDO_INLINE int64_t mask_cells() const {
    const Shape& s = problem.shape;
    return s.images * s.masks * (Problem::kSampled ? 1 : s.samples) * s.cells();
  }

  // The kernels' own memory: how many bytes of each kind they need, tickets apart.
  int64_t sums_bytes() const {
    const Shape& s = problem.shape;
    return s.images * s.masks * tiles.count() * 2 * static_cast<int64_t>(sizeof(double));
  }
  int64_t gradients_bytes() const {
    if (!needs_combining()) return 0;
    const Shape& s = problem.shape;
    const int64_t element = problem.composite_format == Format::kFloat64 ? 8 : 4;
    const int64_t planes = s.images * s.masks * (Problem::kSampled && !separate_samples() ? 1 : s.samples);
    return planes * (s.full_resolution() ? s.cells() : tiles.count() * tile_cells) * element;
  }

 private:
  static constexpr bool kBackward =
      std::is_same_v<Problem, CompositesBackward> || std::is_same_v<Problem, BlendBackward>;

  // Sums for image and infill run over all masks and samples, and groups of channels add to what the one before wrote.
  bool divisible() const {
    if constexpr (kBackward) {
      return problem.grad_composites && !problem.grad_image && !problem.grad_infill &&
             problem.shape.channels <= kChannels;
    } else {
      return true;
    }
  }

  void divide(int64_t enough) {
    const Shape& s = problem.shape;
    const int64_t least = s.images * tiles.count();
    // Where so many masks came to so few tiles, numbers of blocks would leave 32 bits.
    if (least == 0 || least >= enough || s.masks > 1 << 15 || !divisible()) return;
    const int64_t wanted = least * s.masks < enough ? 2 * enough / (least * s.masks) : 1;
    const int64_t size = group_of_samples();
    const int64_t groups = (s.samples + size - 1) / size, of_part = (groups + wanted - 1) / wanted;
    division.by_mask = true;
    division.part_samples = static_cast<int32_t>(of_part * size);
    division.sample_parts = static_cast<int32_t>((groups + of_part - 1) / of_part);
    // Backward, only a block that leaves its samples to the second launch leaves the penalties to another block.
    division.penalties = Problem::kSampled && (!kBackward || (s.full_resolution() && separate_samples()));
    division.blocks = static_cast<int32_t>(s.masks * (division.sample_parts + division.penalties));
  }

  // Drawing more masks than a block needs costs nothing where they are given, or where each thread draws for one cell at
  // most. Forward, the penalties' blocks are enough beside those of four samples.
  int64_t group_of_samples() const {
    const bool few_cells = !problem.shape.full_resolution() && tile_cells <= kThreads;
    return Problem::kSampled && !(kBackward && few_cells) ? kSamplesAtOnce : kFewestSamples;
  }
};

}  // namespace sdfido::cuda
