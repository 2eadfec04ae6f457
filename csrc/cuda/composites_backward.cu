// Dispatch key CUDA: gradients of composites and penalties.
#include "launch.h"
#include "select.h"

namespace sdfido::cuda {
namespace {

std::tuple<Tensor, Tensor, Tensor> sample_composites_backward(
    const OptionalTensor& grad_composites, const OptionalTensor& grad_sparsity,
    const OptionalTensor& grad_smoothness, const Tensor& logits, const Tensor& image, const Tensor& infill,
    const Tensor& rng, const OptionalTensor& streams, int64_t num_samples, double temperature,
    bool antithetic, bool image_gradient, bool infill_gradient) {
  const CompositeBackwardCall call(grad_composites, grad_sparsity, grad_smoothness, logits, image, infill,
                                   rng, streams, num_samples, temperature, antithetic, image_gradient,
                                   infill_gradient);
  CompositePlan<CompositeBackward> plan(call.problem, call.problem.grad_composites);
  const unsigned grid = grid_of(plan);
  if (grid == 0) return call.outputs();
  const Stream stream(call.logits);
  const int64_t element = plan.problem.composite_format == Format::kFloat64 ? 8 : 4;
  Workspace workspace(call.logits, stream, plan.gradients_count() * element, call.problem.shape.images);
  plan.partial_gradients = workspace.data();
  plan.tickets = workspace.tickets();
  visit_kernel(plan, [&](auto kernel) {
    kernel<<<grid, kThreads, 0, stream>>>(plan);
    check(cudaGetLastError(), "launching sample_composites_backward");
  });
  return call.outputs();
}

}  // namespace
}  // namespace sdfido::cuda

STABLE_TORCH_LIBRARY_IMPL(sdfido, CUDA, m) {
  m.impl("sample_composites_backward", TORCH_BOX(&sdfido::cuda::sample_composites_backward));
}
