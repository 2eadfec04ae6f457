#include "calls.h"

namespace sdfido {
namespace {

StridedInput strided(const Tensor& tensor) {
  return {tensor.const_data_ptr(), {tensor.stride(0), tensor.stride(1), tensor.stride(2), tensor.stride(3)}};
}

StridedMasks strided_masks(const Tensor& tensor) {
  return {tensor.const_data_ptr(),
          {tensor.stride(0), tensor.stride(1), tensor.stride(2), tensor.stride(3), tensor.stride(4)}};
}

Tensor empty_composites(const Tensor& like, const Shape& s, ScalarType dtype, bool channels_last) {
  if (!channels_last)
    return torch::stable::new_empty(like, {s.images, s.masks, s.samples, s.channels, s.height, s.width}, dtype);
  Tensor out = torch::stable::new_empty(like, {s.images, s.masks, s.samples, s.height, s.width, s.channels}, dtype);
  out = torch::stable::transpose(out, 4, 5);
  return torch::stable::transpose(out, 3, 4);
}

bool is_channels_last(const Tensor& composites) {
  if (composites.is_contiguous()) return false;
  const int64_t order[6] = {3, 5, 4, 2, 1, 0};
  int64_t expected = 1;
  for (int64_t d : order) {
    if (composites.size(d) != 1 && composites.stride(d) != expected) return false;
    expected *= composites.size(d);
  }
  return true;
}

// Image, infill and their sizes, beside the logits or masks called `name`.
void set_images(Blending& problem, const Tensor& masks, const char* name, const Tensor& image, const Tensor& infill) {
  check_images(masks, name, image, infill, problem.shape);
  problem.image_format = problem.composite_format = format_of(image, "image");
  problem.image = strided(image), problem.infill = strided(infill);
}

// Composites to be written.
template <typename Problem>
Tensor set_composites(Problem& problem, const Tensor& image, ScalarType dtype, bool channels_last) {
  Tensor composites = empty_composites(image, problem.shape, dtype, channels_last);
  problem.composite_format = format_of(composites, "dtype");
  check_composites_dtype("dtype", problem.composite_format, problem.image_format);
  problem.channels_last = channels_last;
  problem.composites = composites.mutable_data_ptr();
  return composites;
}

// Their gradient, to be read; the tensor that it is in is returned.
template <typename Problem>
Tensor set_gradient(Problem& problem, const Tensor& image, const Tensor& grad) {
  const Shape& s = problem.shape;
  STD_TORCH_CHECK(
      has_sizes(grad, {s.images, s.masks, s.samples, s.channels, s.height, s.width}) && same_device(grad, image),
      "sdfido: the composites' gradient must have their sizes and device");
  problem.composite_format = format_of(grad, "the composites' gradient");
  check_composites_dtype("the composites' gradient", problem.composite_format, problem.image_format);
  problem.channels_last = is_channels_last(grad);
  Tensor held = problem.channels_last ? grad : torch::stable::contiguous(grad);
  problem.grad_composites = held.const_data_ptr();
  return held;
}

// Memory for a gradient like `tensor`; not asked for: an empty tensor, and null.
Tensor gradient_like(const Tensor& tensor, std::initializer_list<int64_t> sizes, bool wanted, void*& data) {
  Tensor out = wanted ? torch::stable::new_empty(tensor, sizes) : torch::stable::new_empty(tensor, {0});
  data = wanted ? out.mutable_data_ptr() : nullptr;
  return out;
}

}  // namespace

CompositesForwardCall sample_composites_call(const Tensor& logits, const Tensor& image, const Tensor& infill,
                                             const Tensor& rng, const OptionalTensor& streams, int64_t num_samples,
                                             double temperature, bool antithetic, ScalarType dtype,
                                             bool channels_last) {
  check_logits(logits);
  CompositesForward p{};
  p.shape = check_samples(logits, num_samples);
  p.sampling = check_sampling(logits, rng, streams, temperature, antithetic);
  set_images(p, logits, "logits", image, infill);
  Tensor composites = set_composites(p, image, dtype, channels_last);
  Tensor held = torch::stable::contiguous(logits);
  Tensor sparsity = torch::stable::new_empty(held, {p.shape.images, p.shape.masks});
  Tensor smoothness = torch::stable::new_empty(held, {p.shape.images, p.shape.masks});
  p.logits = held.const_data_ptr();
  p.sparsity = sparsity.mutable_data_ptr(), p.smoothness = smoothness.mutable_data_ptr();
  return {p, held, composites, sparsity, smoothness};
}

CompositesBackwardCall sample_composites_backward_call(
    const OptionalTensor& grad_composites, const OptionalTensor& grad_sparsity, const OptionalTensor& grad_smoothness,
    const Tensor& logits, const Tensor& image, const Tensor& infill, const Tensor& rng, const OptionalTensor& streams,
    int64_t num_samples, double temperature, bool antithetic, bool image_gradient, bool infill_gradient) {
  check_logits(logits);
  CompositesBackwardCall call{};
  CompositesBackward& p = call.problem;
  const Shape& s = p.shape = check_samples(logits, num_samples);
  p.sampling = check_sampling(logits, rng, streams, temperature, antithetic);
  set_images(p, logits, "logits", image, infill);
  if (grad_composites) call.grad_composites = set_gradient(p, image, *grad_composites);
  const auto penalty = [&](const OptionalTensor& grad, Tensor& held) -> const void* {
    if (!grad) return nullptr;
    STD_TORCH_CHECK(has_sizes(*grad, {s.images, s.masks}) && grad->scalar_type() == logits.scalar_type() &&
                        same_device(*grad, logits),
                    "sdfido: a penalty's gradient must be [N, K] with the dtype and device of logits");
    held = torch::stable::contiguous(*grad);
    return held.const_data_ptr();
  };
  p.grad_sparsity = penalty(grad_sparsity, call.grad_sparsity);
  p.grad_smoothness = penalty(grad_smoothness, call.grad_smoothness);
  call.logits = torch::stable::contiguous(logits);
  p.logits = call.logits.const_data_ptr();
  call.grad_logits = gradient_like(logits, {s.images, s.masks, s.cell_rows, s.cell_columns}, true, p.grad_logits);
  call.grad_image = gradient_like(image, {s.images, s.channels, s.height, s.width}, image_gradient, p.grad_image);
  call.grad_infill = gradient_like(image, {s.images, s.channels, s.height, s.width}, infill_gradient, p.grad_infill);
  return call;
}

BlendForwardCall blend_call(const Tensor& masks, const Tensor& image, const Tensor& infill, ScalarType dtype,
                            bool channels_last) {
  BlendForward p{};
  p.shape = check_masks(masks);
  set_images(p, masks, "masks", image, infill);
  p.masks = strided_masks(masks);
  Tensor composites = set_composites(p, image, dtype, channels_last);
  return {p, composites};
}

BlendBackwardCall blend_backward_call(const Tensor& grad, const Tensor& masks, const Tensor& image,
                                      const Tensor& infill, bool masks_gradient, bool image_gradient,
                                      bool infill_gradient) {
  BlendBackwardCall call{};
  BlendBackward& p = call.problem;
  const Shape& s = p.shape = check_masks(masks);
  set_images(p, masks, "masks", image, infill);
  p.masks = strided_masks(masks);
  call.grad_composites = set_gradient(p, image, grad);
  call.grad_masks =
      gradient_like(masks, {s.images, s.masks, s.samples, s.cell_rows, s.cell_columns}, masks_gradient, p.grad_masks);
  call.grad_image = gradient_like(image, {s.images, s.channels, s.height, s.width}, image_gradient, p.grad_image);
  call.grad_infill = gradient_like(image, {s.images, s.channels, s.height, s.width}, infill_gradient, p.grad_infill);
  return call;
}

MasksForwardCall sample_masks_call(const Tensor& logits, const Tensor& rng, const OptionalTensor& streams,
                                   int64_t num_samples, double temperature, bool antithetic) {
  MasksForward p{};
  p.float64 = check_logits(logits);
  const Shape& s = p.shape = check_samples(logits, num_samples);
  p.sampling = check_sampling(logits, rng, streams, temperature, antithetic);
  Tensor held = torch::stable::contiguous(logits);
  Tensor masks = torch::stable::new_empty(held, {s.images, s.masks, s.samples, s.cell_rows, s.cell_columns});
  p.logits = held.const_data_ptr();
  p.masks = masks.mutable_data_ptr();
  return {p, held, masks};
}

MasksBackwardCall sample_masks_backward_call(const Tensor& grad, const Tensor& logits, const Tensor& rng,
                                             const OptionalTensor& streams, int64_t num_samples, double temperature,
                                             bool antithetic) {
  MasksBackward p{};
  p.float64 = check_logits(logits);
  const Shape& s = p.shape = check_samples(logits, num_samples);
  p.sampling = check_sampling(logits, rng, streams, temperature, antithetic);
  STD_TORCH_CHECK(has_sizes(grad, {s.images, s.masks, s.samples, s.cell_rows, s.cell_columns}) &&
                      grad.scalar_type() == logits.scalar_type() && same_device(grad, logits),
                  "sdfido: the masks' gradient must have their sizes, dtype and device");
  Tensor held = torch::stable::contiguous(logits), grad_masks = torch::stable::contiguous(grad);
  Tensor grad_logits = torch::stable::empty_like(held);
  p.logits = held.const_data_ptr(), p.grad_masks = grad_masks.const_data_ptr();
  p.grad_logits = grad_logits.mutable_data_ptr();
  return {p, held, grad_masks, grad_logits};
}

ConcreteForwardCall simplified_concrete_call(const Tensor& logits, const Tensor& u, double temperature) {
  const bool float64 = check_pair(logits, u, "logits and u");
  check_temperature(temperature);
  Tensor held = torch::stable::contiguous(logits), uniforms = torch::stable::contiguous(u);
  Tensor masks = torch::stable::empty_like(held);
  return {
      {held.numel(), temperature, float64, held.const_data_ptr(), uniforms.const_data_ptr(), masks.mutable_data_ptr()},
      held,
      uniforms,
      masks};
}

ConcreteBackwardCall simplified_concrete_backward_call(const Tensor& grad, const Tensor& masks, double temperature) {
  const bool float64 = check_pair(grad, masks, "masks and their gradient");
  check_temperature(temperature);
  Tensor held = torch::stable::contiguous(masks), grad_masks = torch::stable::contiguous(grad);
  Tensor grad_logits = torch::stable::empty_like(held);
  return {{held.numel(), temperature, float64, held.const_data_ptr(), grad_masks.const_data_ptr(),
           grad_logits.mutable_data_ptr()},
          held,
          grad_masks,
          grad_logits};
}

}  // namespace sdfido
