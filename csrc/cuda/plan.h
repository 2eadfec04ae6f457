// How a problem is cut into blocks and which accesses may be 128 bits wide: decided on the host, read by the
// kernels.
#pragma once
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "../math/concrete.h"
#include "../problem.h"

namespace sdfido::cuda {

// A block computes a tile of 64 x 8 pixels, four in a row to a thread.
inline constexpr int kVector = 4;
inline constexpr int kTileWidth = 64, kTileHeight = 8;
inline constexpr int kThreadColumns = kTileWidth / kVector;
inline constexpr int kThreads = kThreadColumns * kTileHeight;
// A multiprocessor takes at least so many blocks, which gives each thread 64 registers and, on sm_80 and
// sm_90, half of all threads a place. float64 is for checks only. From sm_100 on, the compiler needs some
// more registers where gradients of image and infill are summed up, too.
template <typename T, bool kImage = false>
inline constexpr int kBlocks = sizeof(T) == 8 ? 1 :
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
                               kImage ? 6
                                      :
#endif
                                      8;
// Channels are computed three at a time, each group from masks sampled anew.
inline constexpr int kChannels = 3;
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

inline bool vector_access(const StridedInput& input, int64_t width, Format format) {
  bool aligned = vector_access(input.data, width, element_size(format)) && input.strides[3] == 1;
  for (int d = 0; d < 3; ++d) aligned = aligned && input.strides[d] % kVector == 0;
  return aligned;
}

// What sampling needs to know besides the random state.
struct Exponent {
  double inverse_temperature;
  int32_t power;  // 1/temperature where that is a small integer, else 0

  explicit Exponent(double temperature) : inverse_temperature(1.0 / temperature), power(power_of(temperature)) {}
};

template <typename Problem>
struct CompositesPlan {
  Problem problem;
  Tiles tiles;
  Exponent exponent;
  bool vector_logits, vector_image, vector_infill, vector_composites, vector_image_gradients = false;
  double* partial_sums = nullptr;     // forward: [images, masks, tiles, 2]
  void* partial_gradients = nullptr;  // backward below full resolution: [images, masks, tiles, kTileCells]
  uint32_t* tickets = nullptr;        // [images], zero before and after

  explicit CompositesPlan(const Problem& p, const void* composites)
      : problem(p), tiles(tiles_of(p.shape.height, p.shape.width)), exponent(p.sampling.temperature) {
    problem.channels_last = p.channels_last && p.shape.channels > 1;  // else the layouts are the same
    const int64_t width = p.shape.width, element = element_size(p.composite_format);
    vector_logits = vector_access(p.logits, p.shape.cell_columns, p.composite_format == Format::kFloat64 ? 8 : 4);
    vector_image = vector_access(p.image, width, p.image_format);
    vector_infill = vector_access(p.infill, width, p.image_format);
    vector_composites = vector_access(composites, width, element);
    if constexpr (std::is_same_v<Problem, CompositesBackward>) {
      vector_image_gradients = vector_access(p.grad_image, width, element_size(p.image_format)) &&
                               vector_access(p.grad_infill, width, element_size(p.image_format));
    }
  }

  int64_t blocks() const { return problem.shape.images * tiles.count(); }

  // The kernels' own memory: how many elements of each kind they need, tickets apart.
  int64_t sums_count() const { return blocks() * problem.shape.masks * 2; }
  int64_t gradients_count() const {
    return problem.shape.full_resolution() ? 0 : blocks() * problem.shape.masks * kTileCells;
  }
};

}  // namespace sdfido::cuda
