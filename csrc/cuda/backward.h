// The launches of a backward pass: over tiles, and where those have parts of cells, over cells.
#pragma once
#include "launch.h"
#include "select.h"

namespace sdfido::cuda {

// `call` is a CompositesBackwardCall or a BlendBackwardCall.
template <typename Call>
void run_backward(const Call& call, const char* what) {
  CompositesPlan plan(call.problem);
  const unsigned grid = grid_of(plan);
  if (grid == 0) return;
  const Stream stream(call.operand());
  Workspace workspace(call.operand(), stream, plan.gradients_bytes(), 0);
  plan.partial_gradients = workspace.data();
  const auto launch = [&](unsigned blocks) {
    return [&plan, &stream, what, blocks](auto kernel) {
      kernel<<<blocks, kThreads, 0, stream>>>(plan);
      check(cudaGetLastError(), what);
    };
  };
  visit_backward(plan, launch(grid));
  if (plan.needs_combining()) visit_combine(plan, launch(grid_of(plan.mask_cells(), kThreads)));
}

}  // namespace sdfido::cuda
