// Dispatch key CUDA: composites of sampled masks and their penalties, and the gradients of both.
#include "backward.h"

namespace sdfido::cuda {
namespace {

void run_sample_composites(const CompositesForwardCall& call) {
  CompositesPlan<CompositesForward> plan(call.problem);
  const unsigned grid = grid_of(plan);
  if (grid == 0) return;
  const Stream stream(call.operand());
  Workspace workspace(call.operand(), stream, plan.sums_bytes(), call.problem.shape.images);
  plan.partial_sums = static_cast<double*>(workspace.data());
  plan.tickets = workspace.tickets();
  visit_forward(plan, [&](auto kernel) {
    kernel<<<grid, kThreads, 0, stream>>>(plan);
    check(cudaGetLastError(), "launching sample_composites");
  });
}

void run_sample_composites_backward(const CompositesBackwardCall& call) {
  run_backward(call, "launching sample_composites_backward");
}

}  // namespace
}  // namespace sdfido::cuda

STABLE_TORCH_LIBRARY_IMPL(sdfido, CUDA, m) {
  using namespace sdfido;
  using namespace sdfido::cuda;
  m.impl("sample_composites", TORCH_BOX((&Operator<sample_composites_call, run_sample_composites>::run)));
  m.impl("sample_composites_backward",
         TORCH_BOX((&Operator<sample_composites_backward_call, run_sample_composites_backward>::run)));
}
