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

void run_sample_masks(const MasksForwardCall& call) {
  check_counts(call.problem.shape);
  const unsigned grid = grid_of(call.logits.numel(), kMaskThreads);
  if (grid == 0) return;
  const Stream stream(call.operand());
  const MasksForwardPlan plan{call.problem, Exponent(call.problem.sampling.temperature)};
  visit_type(call.problem.float64,
             [&](auto zero) { masks_forward_kernel<decltype(zero)><<<grid, kMaskThreads, 0, stream>>>(plan); });
  check(cudaGetLastError(), "launching sample_masks");
}

void run_sample_masks_backward(const MasksBackwardCall& call) {
  check_counts(call.problem.shape);
  const unsigned grid = grid_of(call.logits.numel(), kMaskThreads);
  if (grid == 0) return;
  const Stream stream(call.operand());
  const MasksBackwardPlan plan{call.problem, Exponent(call.problem.sampling.temperature)};
  visit_type(call.problem.float64,
             [&](auto zero) { masks_backward_kernel<decltype(zero)><<<grid, kMaskThreads, 0, stream>>>(plan); });
  check(cudaGetLastError(), "launching sample_masks_backward");
}

void run_simplified_concrete(const ConcreteForwardCall& call) {
  const ConcreteForward& p = call.problem;
  const unsigned grid = grid_of(p.count, kMaskThreads);
  if (grid == 0) return;
  const Stream stream(call.operand());
  visit_type(p.float64, [&](auto zero) {
    concrete_forward_kernel<decltype(zero)><<<grid, kMaskThreads, 0, stream>>>(p, Exponent(p.temperature));
  });
  check(cudaGetLastError(), "launching simplified_concrete");
}

void run_simplified_concrete_backward(const ConcreteBackwardCall& call) {
  const ConcreteBackward& p = call.problem;
  const unsigned grid = grid_of(p.count, kMaskThreads);
  if (grid == 0) return;
  const Stream stream(call.operand());
  visit_type(p.float64,
             [&](auto zero) { concrete_backward_kernel<decltype(zero)><<<grid, kMaskThreads, 0, stream>>>(p); });
  check(cudaGetLastError(), "launching simplified_concrete_backward");
}

}  // namespace
}  // namespace sdfido::cuda

STABLE_TORCH_LIBRARY_IMPL(sdfido, CUDA, m) {
  using namespace sdfido;
  using namespace sdfido::cuda;
  m.impl("sample_masks", TORCH_BOX((&Operator<sample_masks_call, run_sample_masks>::run)));
  m.impl("sample_masks_backward", TORCH_BOX((&Operator<sample_masks_backward_call, run_sample_masks_backward>::run)));
  m.impl("simplified_concrete", TORCH_BOX((&Operator<simplified_concrete_call, run_simplified_concrete>::run)));
  m.impl("simplified_concrete_backward",
         TORCH_BOX((&Operator<simplified_concrete_backward_call, run_simplified_concrete_backward>::run)));
}
