// Between torch and the backends. The way of a call, from the dispatcher to the loops and back:
//
//   operators.cpp                      the schemas; torch.ops.sdfido.X arrives at what a backend registered for it:
//   cpu/operators.cpp, cuda/X.cu       Operator<X_call, X>::run, with the backend's own X
//     calls.h      X_call(arguments)   checks them (checks.h), allocates the outputs, describes the problem (problem.h)
//     CPU          cpu/X_forward.cpp   the walk of one worker over its bands of pixels: bands.h, mask_source.h, ...
//                  cpu/loops.h         its vectorised loops, of the instruction set chosen at load (loops.inl)
//     CUDA         cuda/launch.h       device, stream, grid and workspace; plan.h and select.h choose the kernel
//                  cuda/X_kernel.cuh   the work of one block on its tile of pixels: tile.cuh, mask_source.cuh, ...
//     both         math/               every formula, once
//   calls.h        call.outputs()      and back to torch; autograd and fake kernels stand in sdfido/ops
#pragma once
#include <tuple>

#include "checks.h"

namespace sdfido {

// Calls hold their problem together with the tensors that its pointers point into, arguments apart, which outlive them.
// operand() is a tensor on the device of all.

struct CompositesForwardCall {
  CompositesForward problem;
  Tensor logits, composites, sparsity, smoothness;
  const Tensor& operand() const { return logits; }
  std::tuple<Tensor, Tensor, Tensor> outputs() const { return {composites, sparsity, smoothness}; }
};
CompositesForwardCall sample_composites_call(const Tensor& logits, const Tensor& image, const Tensor& infill,
                                             const Tensor& rng, const OptionalTensor& streams, int64_t num_samples,
                                             double temperature, bool antithetic, ScalarType dtype, bool channels_last);

struct CompositesBackwardCall {
  CompositesBackward problem;
  Tensor logits, grad_composites, grad_sparsity, grad_smoothness, grad_logits, grad_image, grad_infill;
  const Tensor& operand() const { return logits; }
  std::tuple<Tensor, Tensor, Tensor> outputs() const { return {grad_logits, grad_image, grad_infill}; }
};
CompositesBackwardCall sample_composites_backward_call(
    const OptionalTensor& grad_composites, const OptionalTensor& grad_sparsity, const OptionalTensor& grad_smoothness,
    const Tensor& logits, const Tensor& image, const Tensor& infill, const Tensor& rng, const OptionalTensor& streams,
    int64_t num_samples, double temperature, bool antithetic, bool image_gradient, bool infill_gradient);

struct BlendForwardCall {
  BlendForward problem;
  Tensor composites;
  const Tensor& operand() const { return composites; }
  Tensor outputs() const { return composites; }
};
BlendForwardCall blend_call(const Tensor& masks, const Tensor& image, const Tensor& infill, ScalarType dtype,
                            bool channels_last);

struct BlendBackwardCall {
  BlendBackward problem;
  Tensor grad_composites, grad_masks, grad_image, grad_infill;
  const Tensor& operand() const { return grad_composites; }
  std::tuple<Tensor, Tensor, Tensor> outputs() const { return {grad_masks, grad_image, grad_infill}; }
};
BlendBackwardCall blend_backward_call(const Tensor& grad, const Tensor& masks, const Tensor& image,
                                      const Tensor& infill, bool masks_gradient, bool image_gradient,
                                      bool infill_gradient);

struct MasksForwardCall {
  MasksForward problem;
  Tensor logits, masks;
  const Tensor& operand() const { return logits; }
  Tensor outputs() const { return masks; }
};
MasksForwardCall sample_masks_call(const Tensor& logits, const Tensor& rng, const OptionalTensor& streams,
                                   int64_t num_samples, double temperature, bool antithetic);

struct MasksBackwardCall {
  MasksBackward problem;
  Tensor logits, grad_masks, grad_logits;
  const Tensor& operand() const { return logits; }
  Tensor outputs() const { return grad_logits; }
};
MasksBackwardCall sample_masks_backward_call(const Tensor& grad, const Tensor& logits, const Tensor& rng,
                                             const OptionalTensor& streams, int64_t num_samples, double temperature,
                                             bool antithetic);

struct ConcreteForwardCall {
  ConcreteForward problem;
  Tensor logits, uniforms, masks;
  const Tensor& operand() const { return logits; }
  Tensor outputs() const { return masks; }
};
ConcreteForwardCall simplified_concrete_call(const Tensor& logits, const Tensor& u, double temperature);

struct ConcreteBackwardCall {
  ConcreteBackward problem;
  Tensor masks, grad_masks, grad_logits;
  const Tensor& operand() const { return masks; }
  Tensor outputs() const { return grad_logits; }
};
ConcreteBackwardCall simplified_concrete_backward_call(const Tensor& grad, const Tensor& masks, double temperature);

// An operator on one backend, which computes what the call asks for.
template <auto make_call, auto compute, typename MakeCall = decltype(make_call)>
struct Operator;

template <auto make_call, auto compute, typename Call, typename... Arguments>
struct Operator<make_call, compute, Call (*)(Arguments...)> {
  static auto run(Arguments... arguments) {
    const Call call = make_call(arguments...);
    compute(call);
    return call.outputs();
  }
};

}  // namespace sdfido
