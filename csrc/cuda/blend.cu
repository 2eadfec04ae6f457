// Dispatch key CUDA: composites of given masks, and their gradients.
#include "backward.h"

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

void run_blend_backward(const BlendBackwardCall& call) { run_backward(call, "launching blend_backward"); }

}  // namespace
}  // namespace sdfido::cuda

STABLE_TORCH_LIBRARY_IMPL(sdfido, CUDA, m) {
  using namespace sdfido;
  using namespace sdfido::cuda;
  m.impl("blend", TORCH_BOX((&Operator<blend_call, run_blend>::run)));
  m.impl("blend_backward", TORCH_BOX((&Operator<blend_backward_call, run_blend_backward>::run)));
}
