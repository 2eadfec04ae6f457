// Between torch and the backends: checks of the arguments, the problem they describe, and its outputs.
#pragma once
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"  // in torch's own headers
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#pragma GCC diagnostic pop

#include <cmath>
#include <initializer_list>
#include <optional>
#include <tuple>

#include "problem.h"

namespace sdfido {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using OptionalTensor = std::optional<Tensor>;

inline Format format_of(const Tensor& tensor, const char* name) {
  switch (tensor.scalar_type()) {
    case ScalarType::Float:
      return Format::kFloat32;
    case ScalarType::BFloat16:
      return Format::kBFloat16;
    case ScalarType::Half:
      return Format::kFloat16;
    case ScalarType::Double:
      return Format::kFloat64;
    default:
      STD_TORCH_CHECK(false, "sdfido: ", name, " must be float32, bfloat16, float16 or float64");
  }
}

inline bool same_device(const Tensor& a, const Tensor& b) { return a.device() == b.device(); }

// Logits are float32, or float64 together with everything else. True for float64.
inline bool check_logits(const Tensor& logits) {
  STD_TORCH_CHECK(logits.dim() == 4, "sdfido: logits must be [N, K, h, w], got ", logits.dim(),
                  " dimensions");
  const Format format = format_of(logits, "logits");
  STD_TORCH_CHECK(format == Format::kFloat32 || format == Format::kFloat64,
                  "sdfido: logits must be float32 or float64");
  STD_TORCH_CHECK(logits.size(1) > 0 && logits.size(2) > 0 && logits.size(3) > 0,
                  "sdfido: logits must have at least one mask and one cell");
  STD_TORCH_CHECK(logits.size(2) * logits.size(3) < (int64_t{1} << 31),
                  "sdfido: a mask must have fewer than 2^31 cells");
  return format == Format::kFloat64;
}

inline void check_temperature(double temperature) {
  STD_TORCH_CHECK(
      temperature > 0 && std::isfinite(static_cast<float>(1.0 / temperature)) && std::isfinite(temperature),
      "sdfido: temperature must be positive and finite, got ", temperature);
}

// Sizes whose product stays far from overflow.
inline void check_product(const char* what, std::initializer_list<int64_t> sizes) {
  int64_t product = 1;
  bool fits = true;
  for (int64_t size : sizes) fits = fits && !__builtin_mul_overflow(product, size, &product);
  STD_TORCH_CHECK(fits && product < (int64_t{1} << 48), "sdfido: ", what,
                  " must have fewer than 2^48 elements");
}

inline Shape mask_shape(const Tensor& logits, int64_t num_samples) {
  STD_TORCH_CHECK(num_samples >= 1, "sdfido: num_samples must be at least 1, got ", num_samples);
  check_product("the samples of all masks", {logits.size(1), num_samples, logits.size(2), logits.size(3)});
  check_product("the masks", {logits.size(0), logits.size(1), num_samples, logits.size(2), logits.size(3)});
  Shape shape{logits.size(0), logits.size(1), num_samples, logits.size(2), logits.size(3), 0, 0, 0};
  shape.height = shape.cell_rows;
  shape.width = shape.cell_columns;
  return shape;
}

inline Sampling check_sampling(const Tensor& logits, const Tensor& rng, const OptionalTensor& streams,
                               double temperature, bool antithetic) {
  check_temperature(temperature);
  STD_TORCH_CHECK(rng.scalar_type() == ScalarType::Long && rng.dim() == 1 && rng.size(0) == 2 &&
                      rng.is_contiguous() && same_device(rng, logits),
                  "sdfido: rng must be a contiguous int64 [2] tensor on the device of logits");
  if (streams) {
    STD_TORCH_CHECK(streams->scalar_type() == ScalarType::Long && streams->dim() == 1 &&
                        streams->size(0) == logits.size(0) && streams->is_contiguous() &&
                        same_device(*streams, logits),
                    "sdfido: streams must be a contiguous int64 [N] tensor on the device of logits");
  }
  return {rng.const_data_ptr<int64_t>(), streams ? streams->const_data_ptr<int64_t>() : nullptr, temperature,
          antithetic};
}

// Sizes and formats of image and infill beside the logits.
inline Shape check_images(const Tensor& logits, const Tensor& image, const Tensor& infill,
                          int64_t num_samples) {
  const bool float64 = check_logits(logits);
  STD_TORCH_CHECK(image.dim() == 4 && infill.dim() == 4,
                  "sdfido: image and infill must be [N, C, H, W], got ", image.dim(), " and ", infill.dim(),
                  " dimensions");
  for (int64_t d = 0; d < 4; ++d) {
    STD_TORCH_CHECK(infill.size(d) == image.size(d),
                    "sdfido: infill must have the sizes of image; dimension ", d, " is ", infill.size(d),
                    ", not ", image.size(d));
  }
  STD_TORCH_CHECK(image.scalar_type() == infill.scalar_type(), "sdfido: infill must have the dtype of image");
  STD_TORCH_CHECK((format_of(image, "image") == Format::kFloat64) == float64,
                  "sdfido: logits, image and infill must all be float64, or none of them");
  STD_TORCH_CHECK(same_device(logits, image) && same_device(logits, infill),
                  "sdfido: logits, image and infill must be on one device");
  Shape shape = mask_shape(logits, num_samples);
  shape.channels = image.size(1), shape.height = image.size(2), shape.width = image.size(3);
  STD_TORCH_CHECK(image.size(0) == shape.images, "sdfido: image must have the batch size of logits, ",
                  shape.images, ", got ", image.size(0));
  STD_TORCH_CHECK(shape.channels > 0, "sdfido: image must have at least one channel");
  STD_TORCH_CHECK(shape.cell_rows <= shape.height && shape.cell_columns <= shape.width, "sdfido: masks of ",
                  shape.cell_rows, "x", shape.cell_columns, " cells are larger than the image of ",
                  shape.height, "x", shape.width, " pixels");
  check_product("the composites",
                {shape.images, shape.masks, shape.samples, shape.channels, shape.height, shape.width});
  check_product("an image's composites",
                {shape.masks, shape.samples, shape.channels, shape.height, shape.width});
  STD_TORCH_CHECK(shape.pixels() < (int64_t{1} << 31), "sdfido: an image must have fewer than 2^31 pixels");
  return shape;
}

// Whether a tensor has just these sizes.
inline bool has_sizes(const Tensor& tensor, std::initializer_list<int64_t> sizes) {
  if (tensor.dim() != static_cast<int64_t>(sizes.size())) return false;
  int64_t d = 0;
  for (int64_t size : sizes)
    if (tensor.size(d++) != size) return false;
  return true;
}

inline StridedInput strided(const Tensor& tensor) {
  return {tensor.const_data_ptr(), {tensor.stride(0), tensor.stride(1), tensor.stride(2), tensor.stride(3)}};
}

inline Tensor empty_composites(const Tensor& like, const Shape& s, ScalarType dtype, bool channels_last) {
  if (!channels_last)
    return torch::stable::new_empty(like, {s.images, s.masks, s.samples, s.channels, s.height, s.width},
                                    dtype);
  Tensor out =
      torch::stable::new_empty(like, {s.images, s.masks, s.samples, s.height, s.width, s.channels}, dtype);
  out = torch::stable::transpose(out, 4, 5);
  return torch::stable::transpose(out, 3, 4);
}

// A call's problem together with the tensors that its pointers point into.
struct CompositeForwardCall {
  CompositeForward problem;
  Tensor logits, composites, sparsity, smoothness;

  CompositeForwardCall(const Tensor& logits_, const Tensor& image, const Tensor& infill, const Tensor& rng,
                       const OptionalTensor& streams, int64_t num_samples, double temperature,
                       bool antithetic, ScalarType dtype, bool channels_last)
      : problem{}, logits(logits_) {
    const Shape shape = check_images(logits_, image, infill, num_samples);
    problem.shape = shape;
    problem.sampling = check_sampling(logits_, rng, streams, temperature, antithetic);
    problem.image_format = format_of(image, "image");
    problem.channels_last = channels_last;
    STD_TORCH_CHECK((dtype == ScalarType::Double) == (problem.image_format == Format::kFloat64),
                    "sdfido: dtype must be float64 exactly if the inputs are");
    logits = torch::stable::contiguous(logits_);
    composites = empty_composites(image, shape, dtype, channels_last);
    sparsity = torch::stable::new_empty(logits, {shape.images, shape.masks});
    smoothness = torch::stable::new_empty(logits, {shape.images, shape.masks});
    problem.composite_format = format_of(composites, "dtype");
    problem.logits = logits.const_data_ptr();
    problem.image = strided(image), problem.infill = strided(infill);
    problem.composites = composites.mutable_data_ptr();
    problem.sparsity = sparsity.mutable_data_ptr(), problem.smoothness = smoothness.mutable_data_ptr();
  }

  std::tuple<Tensor, Tensor, Tensor> outputs() const { return {composites, sparsity, smoothness}; }
};

struct CompositeBackwardCall {
  CompositeBackward problem;
  Tensor logits, grad_composites, grad_sparsity, grad_smoothness, grad_logits, grad_image, grad_infill;

  CompositeBackwardCall(const OptionalTensor& composites, const OptionalTensor& sparsity,
                        const OptionalTensor& smoothness, const Tensor& logits_, const Tensor& image,
                        const Tensor& infill, const Tensor& rng, const OptionalTensor& streams,
                        int64_t num_samples, double temperature, bool antithetic, bool image_gradient,
                        bool infill_gradient)
      : problem{}, logits(logits_) {
    const Shape s = check_images(logits_, image, infill, num_samples);
    problem.shape = s;
    problem.sampling = check_sampling(logits_, rng, streams, temperature, antithetic);
    problem.image_format = problem.composite_format = format_of(image, "image");
    problem.image = strided(image), problem.infill = strided(infill);
    logits = torch::stable::contiguous(logits_);
    problem.logits = logits.const_data_ptr();
    if (composites) set_composites(*composites);
    if (sparsity) problem.grad_sparsity = penalty(*sparsity, grad_sparsity);
    if (smoothness) problem.grad_smoothness = penalty(*smoothness, grad_smoothness);
    grad_logits = torch::stable::new_empty(logits, {s.images, s.masks, s.cell_rows, s.cell_columns});
    problem.grad_logits = grad_logits.mutable_data_ptr();
    problem.grad_image = image_like(image, image_gradient, grad_image);
    problem.grad_infill = image_like(image, infill_gradient, grad_infill);
  }

  std::tuple<Tensor, Tensor, Tensor> outputs() const { return {grad_logits, grad_image, grad_infill}; }

 private:
  void set_composites(const Tensor& grad) {
    const Shape& s = problem.shape;
    const bool fits = has_sizes(grad, {s.images, s.masks, s.samples, s.channels, s.height, s.width}) &&
                      same_device(grad, logits);
    STD_TORCH_CHECK(fits, "sdfido: the composites' gradient must have their sizes and device");
    problem.composite_format = format_of(grad, "the composites' gradient");
    STD_TORCH_CHECK(
        (problem.composite_format == Format::kFloat64) == (problem.image_format == Format::kFloat64),
        "sdfido: the composites' gradient must be float64 exactly if the inputs are");
    problem.channels_last = is_channels_last(grad);
    grad_composites = problem.channels_last ? grad : torch::stable::contiguous(grad);
    problem.grad_composites = grad_composites.const_data_ptr();
  }

  static bool is_channels_last(const Tensor& t) {
    if (t.is_contiguous()) return false;
    const int64_t order[6] = {3, 5, 4, 2, 1, 0};
    int64_t expected = 1;
    for (int64_t d : order) {
      if (t.size(d) != 1 && t.stride(d) != expected) return false;
      expected *= t.size(d);
    }
    return true;
  }

  const void* penalty(const Tensor& grad, Tensor& held) {
    STD_TORCH_CHECK(has_sizes(grad, {problem.shape.images, problem.shape.masks}) &&
                        grad.scalar_type() == logits.scalar_type() && same_device(grad, logits),
                    "sdfido: a penalty's gradient must be [N, K] with the dtype and device of logits");
    held = torch::stable::contiguous(grad);
    return held.const_data_ptr();
  }

  // Not asked for: an empty tensor, and null.
  void* image_like(const Tensor& image, bool wanted, Tensor& out) {
    const Shape& s = problem.shape;
    out = wanted ? torch::stable::new_empty(image, {s.images, s.channels, s.height, s.width})
                 : torch::stable::new_empty(image, {0});
    return wanted ? out.mutable_data_ptr() : nullptr;
  }
};

struct MaskForwardCall {
  MaskForward problem;
  Tensor logits, masks;

  MaskForwardCall(const Tensor& logits_, const Tensor& rng, const OptionalTensor& streams,
                  int64_t num_samples, double temperature, bool antithetic)
      : problem{}, logits(logits_) {
    problem.float64 = check_logits(logits_);
    const Shape s = problem.shape = mask_shape(logits_, num_samples);
    problem.sampling = check_sampling(logits_, rng, streams, temperature, antithetic);
    logits = torch::stable::contiguous(logits_);
    masks = torch::stable::new_empty(logits, {s.images, s.masks, s.samples, s.cell_rows, s.cell_columns});
    problem.logits = logits.const_data_ptr();
    problem.masks = masks.mutable_data_ptr();
  }
};

struct MaskBackwardCall {
  MaskBackward problem;
  Tensor logits, grad_masks, grad_logits;

  MaskBackwardCall(const Tensor& grad, const Tensor& logits_, const Tensor& rng,
                   const OptionalTensor& streams, int64_t num_samples, double temperature, bool antithetic)
      : problem{}, logits(logits_) {
    problem.float64 = check_logits(logits_);
    problem.shape = mask_shape(logits_, num_samples);
    problem.sampling = check_sampling(logits_, rng, streams, temperature, antithetic);
    const Shape& s = problem.shape;
    STD_TORCH_CHECK(has_sizes(grad, {s.images, s.masks, s.samples, s.cell_rows, s.cell_columns}) &&
                        grad.scalar_type() == logits_.scalar_type() && same_device(grad, logits_),
                    "sdfido: the masks' gradient must have their sizes, dtype and device");
    logits = torch::stable::contiguous(logits_), grad_masks = torch::stable::contiguous(grad);
    grad_logits = torch::stable::empty_like(logits);
    problem.logits = logits.const_data_ptr(), problem.grad_masks = grad_masks.const_data_ptr();
    problem.grad_logits = grad_logits.mutable_data_ptr();
  }
};

// Float64 or not, for two tensors of one shape.
inline bool check_pair(const Tensor& a, const Tensor& b, const char* what) {
  bool fits = a.dim() == b.dim() && a.scalar_type() == b.scalar_type() && same_device(a, b);
  for (int64_t d = 0; fits && d < a.dim(); ++d) fits = a.size(d) == b.size(d);
  const Format format = format_of(a, "logits");
  STD_TORCH_CHECK(fits && (format == Format::kFloat32 || format == Format::kFloat64), "sdfido: ", what,
                  " must have the same sizes, device and dtype, float32 or float64");
  return format == Format::kFloat64;
}

struct ConcreteForwardCall {
  ConcreteForward problem;
  Tensor logits, uniforms, masks;

  ConcreteForwardCall(const Tensor& logits_, const Tensor& u, double temperature)
      : problem{}, logits(logits_) {
    problem.float64 = check_pair(logits_, u, "logits and u");
    check_temperature(temperature);
    logits = torch::stable::contiguous(logits_), uniforms = torch::stable::contiguous(u);
    masks = torch::stable::empty_like(logits);
    problem.count = logits.numel(), problem.temperature = temperature;
    problem.logits = logits.const_data_ptr(), problem.uniforms = uniforms.const_data_ptr();
    problem.masks = masks.mutable_data_ptr();
  }
};

struct ConcreteBackwardCall {
  ConcreteBackward problem;
  Tensor masks, grad_masks, grad_logits;

  ConcreteBackwardCall(const Tensor& grad, const Tensor& masks_, double temperature)
      : problem{}, masks(masks_) {
    problem.float64 = check_pair(grad, masks_, "masks and their gradient");
    check_temperature(temperature);
    masks = torch::stable::contiguous(masks_), grad_masks = torch::stable::contiguous(grad);
    grad_logits = torch::stable::empty_like(masks);
    problem.count = masks.numel(), problem.temperature = temperature;
    problem.masks = masks.const_data_ptr(), problem.grad_masks = grad_masks.const_data_ptr();
    problem.grad_logits = grad_logits.mutable_data_ptr();
  }
};

}  // namespace sdfido
