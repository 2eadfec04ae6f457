// Dispatch key CUDA: composites and penalties.
#include "launch.h"
#include "select.h"

namespace sdfido::cuda {
namespace {

std::tuple<Tensor, Tensor, Tensor> sample_composites(const Tensor& logits, const Tensor& image,
                                                     const Tensor& infill, const Tensor& rng,
                                                     const OptionalTensor& streams, int64_t num_samples,
                                                     double temperature, bool antithetic, ScalarType dtype,
                                                     bool channels_last) {
  const CompositeForwardCall call(logits, image, infill, rng, streams, num_samples, temperature, antithetic,
                                  dtype, channels_last);
  CompositePlan<CompositeForward> plan(call.problem, call.problem.composites);
  const unsigned grid = grid_of(plan);
  if (grid == 0) return call.outputs();
  const Stream stream(call.logits);
  Workspace workspace(call.logits, stream, plan.sums_count() * static_cast<int64_t>(sizeof(double)),
                      call.problem.shape.images);
  plan.partial_sums = static_cast<double*>(workspace.data());
  plan.tickets = workspace.tickets();
  visit_kernel(plan, [&](auto kernel) {
    kernel<<<grid, kThreads, 0, stream>>>(plan);
    check(cudaGetLastError(), "launching sample_composites");
  });
  return call.outputs();
}

}  // namespace
}  // namespace sdfido::cuda

STABLE_TORCH_LIBRARY_IMPL(sdfido, CUDA, m) {
  m.impl("sample_composites", TORCH_BOX(&sdfido::cuda::sample_composites));
}
