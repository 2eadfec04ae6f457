// Dispatch key CUDA: masks alone, and the elementwise operator.
#include "launch.h"
#include "masks_kernel.cuh"

namespace sdfido::cuda {
namespace {

// Calls visit(T{}) for the type of logits and masks.
template <typename Visit>
void visit_type(bool float64, Visit visit) {
  float64 ? visit(double{}) : visit(float{});
}

Tensor sample_masks(const Tensor& logits, const Tensor& rng, const OptionalTensor& streams,
                    int64_t num_samples, double temperature, bool antithetic) {
  const MaskForwardCall call(logits, rng, streams, num_samples, temperature, antithetic);
  check_counts(call.problem.shape);
  const unsigned grid = grid_of(call.logits.numel(), kMaskThreads);
  if (grid == 0) return call.masks;
  const Stream stream(call.logits);
  const MaskForwardPlan plan{call.problem, Exponent(temperature)};
  visit_type(call.problem.float64, [&](auto zero) {
    masks_forward_kernel<decltype(zero)><<<grid, kMaskThreads, 0, stream>>>(plan);
  });
  check(cudaGetLastError(), "launching sample_masks");
  return call.masks;
}

Tensor sample_masks_backward(const Tensor& grad, const Tensor& logits, const Tensor& rng,
                             const OptionalTensor& streams, int64_t num_samples, double temperature,
                             bool antithetic) {
  const MaskBackwardCall call(grad, logits, rng, streams, num_samples, temperature, antithetic);
  check_counts(call.problem.shape);
  const unsigned grid = grid_of(call.logits.numel(), kMaskThreads);
  if (grid == 0) return call.grad_logits;
  const Stream stream(call.logits);
  const MaskBackwardPlan plan{call.problem, Exponent(temperature)};
  visit_type(call.problem.float64, [&](auto zero) {
    masks_backward_kernel<decltype(zero)><<<grid, kMaskThreads, 0, stream>>>(plan);
  });
  check(cudaGetLastError(), "launching sample_masks_backward");
  return call.grad_logits;
}

Tensor simplified_concrete(const Tensor& logits, const Tensor& u, double temperature) {
  const ConcreteForwardCall call(logits, u, temperature);
  const unsigned grid = grid_of(call.problem.count, kMaskThreads);
  if (grid == 0) return call.masks;
  const Stream stream(call.logits);
  visit_type(call.problem.float64, [&](auto zero) {
    concrete_forward_kernel<decltype(zero)>
        <<<grid, kMaskThreads, 0, stream>>>(call.problem, Exponent(temperature));
  });
  check(cudaGetLastError(), "launching simplified_concrete");
  return call.masks;
}

Tensor simplified_concrete_backward(const Tensor& grad, const Tensor& masks, double temperature) {
  const ConcreteBackwardCall call(grad, masks, temperature);
  const unsigned grid = grid_of(call.problem.count, kMaskThreads);
  if (grid == 0) return call.grad_logits;
  const Stream stream(call.masks);
  visit_type(call.problem.float64, [&](auto zero) {
    concrete_backward_kernel<decltype(zero)><<<grid, kMaskThreads, 0, stream>>>(call.problem);
  });
  check(cudaGetLastError(), "launching simplified_concrete_backward");
  return call.grad_logits;
}

}  // namespace
}  // namespace sdfido::cuda

STABLE_TORCH_LIBRARY_IMPL(sdfido, CUDA, m) {
  m.impl("sample_masks", TORCH_BOX(&sdfido::cuda::sample_masks));
  m.impl("sample_masks_backward", TORCH_BOX(&sdfido::cuda::sample_masks_backward));
  m.impl("simplified_concrete", TORCH_BOX(&sdfido::cuda::simplified_concrete));
  m.impl("simplified_concrete_backward", TORCH_BOX(&sdfido::cuda::simplified_concrete_backward));
}
