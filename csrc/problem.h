// What one call of an operator computes, as plain values: shared by the operators and all backends.
#pragma once
#include <cstdint>

#include "math/host_device.h"

namespace sdfido {

enum class Format : int32_t { kFloat32, kBFloat16, kFloat16, kFloat64 };

inline int64_t element_size(Format format) {
  return format == Format::kFloat64 ? 8 : format == Format::kFloat32 ? 4 : 2;
}

// Sizes of everything; a mask has cell_rows x cell_columns cells, an image height x width pixels.
struct Shape {
  int64_t images, masks, samples;
  int64_t cell_rows, cell_columns;
  int64_t channels, height, width;  // of composites only

  SDFIDO_INLINE int64_t cells() const { return cell_rows * cell_columns; }
  SDFIDO_INLINE int64_t pixels() const { return height * width; }
  SDFIDO_INLINE bool full_resolution() const { return cell_rows == height && cell_columns == width; }
};

struct Sampling {
  const int64_t* rng;      // [2] = (seed, step), on the device
  const int64_t* streams;  // [N], or null for 0 .. N-1
  double temperature;
  bool antithetic;
};

// Any layout of an [N, C, H, W] input, in elements; strides of 0 broadcast.
struct StridedInput {
  const void* data;
  int64_t strides[4];
};

// The same for masks [N, K, S, h, w].
struct StridedMasks {
  const void* data;
  int64_t strides[5];
};

// What the four problems of composites have in common. Masks and logits are float64 where composite_format is, float32
// otherwise. Composites and their gradient are [N, K, S, C, H, W] or, channels-last, [N, K, S, H, W, C]. Gradients of
// image and infill are [N, C, H, W], contiguous, in image_format. A null gradient is one that is zero (given) or not
// asked for (wanted).
struct Blending {
  Shape shape;
  Format image_format, composite_format;
  bool channels_last;
  StridedInput image, infill;
};

// sample_composites: masks are sampled from logits. Logits and penalties, and their gradients, are contiguous.
struct CompositesForward : Blending {
  static constexpr bool kSampled = true;
  Sampling sampling;
  const void* logits;
  void *composites, *sparsity, *smoothness;
};
struct CompositesBackward : Blending {
  static constexpr bool kSampled = true;
  Sampling sampling;
  const void* logits;
  const void *grad_composites, *grad_sparsity, *grad_smoothness;
  void *grad_logits, *grad_image, *grad_infill;
};

// blend: masks are given. Their gradient is contiguous.
struct BlendForward : Blending {
  static constexpr bool kSampled = false;
  StridedMasks masks;
  void* composites;
};
struct BlendBackward : Blending {
  static constexpr bool kSampled = false;
  StridedMasks masks;
  const void* grad_composites;
  void *grad_masks, *grad_image, *grad_infill;
};

// Masks are [N, K, S, h, w]; forward writes them, backward reads their gradient and writes that of the logits.
struct MasksForward {
  Shape shape;
  Sampling sampling;
  bool float64;
  const void* logits;
  void* masks;
};
struct MasksBackward {
  Shape shape;
  Sampling sampling;
  bool float64;
  const void *logits, *grad_masks;
  void* grad_logits;
};

// Elementwise and contiguous: count elements of float32 or float64.
struct ConcreteForward {
  int64_t count;
  double temperature;
  bool float64;
  const void *logits, *uniforms;
  void* masks;
};
struct ConcreteBackward {
  int64_t count;
  double temperature;
  bool float64;
  const void *masks, *grad_masks;
  void* grad_logits;
};

}  // namespace sdfido
