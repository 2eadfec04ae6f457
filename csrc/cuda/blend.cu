// Dispatch key CUDA: composites of given masks, and their gradients.
#include "launch.h"
#include "select.h"

namespace sdfido::cuda {
namespace {

void run_blend(const BlendForwardCall& call) {
  const CompositesPlan<BlendForward> plan(call.problem);
  const unsigned grid = grid_of(plan);
  if (grid == 0) return;
  const Stream stream(call.operand());
  visit_forward(plan, [&](auto kernel) {
    kernel<<<grid, kThreads, 0, stream>>>(plan);
    check(cudaGetLastError(), "launching blend");
  });
}

void run_blend_backward(const BlendBackwardCall& call) {
  CompositesPlan<BlendBackward> plan(call.problem);
  const unsigned grid = grid_of(plan);
  if (grid == 0) return;
  const Stream stream(call.operand());
  Workspace workspace(call.operand(), stream, plan.needs_combining() ? plan.gradients_bytes() : 0, 0);
  plan.partial_gradients = workspace.data();
  visit_backward(plan, [&](auto kernel) {
    kernel<<<grid, kThreads, 0, stream>>>(plan);
    check(cudaGetLastError(), "launching blend_backward");
  });
  if (!plan.needs_combining()) return;
  const unsigned combining = grid_of(plan.mask_cells(), kThreads);
  if (plan.problem.composite_format == Format::kFloat64) {
    blend_combine_kernel<double><<<combining, kThreads, 0, stream>>>(plan);
  } else {
    blend_combine_kernel<float><<<combining, kThreads, 0, stream>>>(plan);
  }
  check(cudaGetLastError(), "launching blend_backward");
}

}  // namespace
}  // namespace sdfido::cuda

STABLE_TORCH_LIBRARY_IMPL(sdfido, CUDA, m) {
  using namespace sdfido;
  using namespace sdfido::cuda;
  m.impl("blend", TORCH_BOX((&Operator<blend_call, run_blend>::run)));
  m.impl("blend_backward", TORCH_BOX((&Operator<blend_backward_call, run_blend_backward>::run)));
}
