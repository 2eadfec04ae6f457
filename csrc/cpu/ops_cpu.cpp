// Dispatch key CPU: checks, outputs, memory and threads around the passes.
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>

#include "../ops.h"
#include "passes.h"
#include "rows.h"

namespace sdfido::cpu {
namespace {

constexpr int64_t kValuesPerThread = 1 << 14;  // below that, starting a thread costs more than it saves

struct AlignedDelete {
  void operator()(char* memory) const { ::operator delete(memory, std::align_val_t{64}); }
};
using AlignedMemory = std::unique_ptr<char, AlignedDelete>;

AlignedMemory allocate(size_t bytes) {
  return AlignedMemory(static_cast<char*>(::operator new(bytes + 64, std::align_val_t{64})));
}

// From so many bytes on, the C library takes memory from the system for each tensor, and gives it back: its
// pages are new each time. Huge ones spare most of the faults.
constexpr int64_t kFreshBytes = int64_t{32} << 20;

void prefer_huge_pages(void* data, int64_t bytes) {
#if defined(__linux__)
  constexpr uintptr_t kPage = uintptr_t{2} << 20;
  const auto address = reinterpret_cast<uintptr_t>(data);
  const uintptr_t begin = (address + kPage - 1) / kPage * kPage,
                  end = (address + static_cast<uintptr_t>(bytes)) / kPage * kPage;
  if (bytes >= kFreshBytes && begin < end)
    madvise(reinterpret_cast<void*>(begin), end - begin,
            MADV_HUGEPAGE);  // advice: what comes of it is the same
#else
  (void)data, (void)bytes;
#endif
}

int64_t worker_count(int64_t pieces, int64_t values) {
  const int64_t threads = torch::stable::get_num_threads();
  return std::min({threads, pieces, values / kValuesPerThread + 1});
}

// Calls pass(worker, its memory) in parallel. Memory is there before the first thread starts: nothing throws
// inside.
template <typename Pass>
void run(int64_t workers, size_t bytes, Pass pass) {
  if (workers <= 0) return;
  const AlignedMemory memory = allocate(bytes * static_cast<size_t>(workers));
  torch::stable::parallel_for(0, workers, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      pass(Worker{i, workers}, memory.get() + static_cast<size_t>(i) * bytes);
  });
}

int64_t worker_count(const Shape& s, int64_t channels) {
  const int64_t values = s.images * s.masks * s.samples * channels * s.pixels();
  return worker_count(piece_count(s, torch::stable::get_num_threads()), values);
}

std::tuple<Tensor, Tensor, Tensor> sample_composites(const Tensor& logits, const Tensor& image,
                                                     const Tensor& infill, const Tensor& rng,
                                                     const OptionalTensor& streams, int64_t num_samples,
                                                     double temperature, bool antithetic, ScalarType dtype,
                                                     bool channels_last) {
  const CompositeForwardCall call(logits, image, infill, rng, streams, num_samples, temperature, antithetic,
                                  dtype, channels_last);
  const Shape& s = call.problem.shape;
  prefer_huge_pages(call.problem.composites, s.images * s.masks * s.samples * s.channels * s.pixels() *
                                                 element_size(call.problem.composite_format));
  const AlignedMemory shared = allocate(shared_bytes(s));
  auto* sums = reinterpret_cast<double*>(shared.get());
  run(worker_count(s, s.channels), scratch_bytes(call.problem),
      [&](Worker worker, void* scratch) { composite_forward(call.problem, worker, scratch, sums); });
  composite_penalties(call.problem, sums);
  return call.outputs();
}

std::tuple<Tensor, Tensor, Tensor> sample_composites_backward(
    const OptionalTensor& grad_composites, const OptionalTensor& grad_sparsity,
    const OptionalTensor& grad_smoothness, const Tensor& logits, const Tensor& image, const Tensor& infill,
    const Tensor& rng, const OptionalTensor& streams, int64_t num_samples, double temperature,
    bool antithetic, bool image_gradient, bool infill_gradient) {
  const CompositeBackwardCall call(grad_composites, grad_sparsity, grad_smoothness, logits, image, infill,
                                   rng, streams, num_samples, temperature, antithetic, image_gradient,
                                   infill_gradient);
  run(worker_count(call.problem.shape, call.problem.shape.channels), scratch_bytes(call.problem),
      [&](Worker worker, void* scratch) { composite_backward(call.problem, worker, scratch); });
  return call.outputs();
}

Tensor sample_masks(const Tensor& logits, const Tensor& rng, const OptionalTensor& streams,
                    int64_t num_samples, double temperature, bool antithetic) {
  const MaskForwardCall call(logits, rng, streams, num_samples, temperature, antithetic);
  const Shape& s = call.problem.shape;
  prefer_huge_pages(call.problem.masks,
                    s.images * s.masks * s.samples * s.cells() * (call.problem.float64 ? 8 : 4));
  run(worker_count(call.problem.shape, 1), scratch_bytes(call.problem),
      [&](Worker worker, void* scratch) { mask_forward(call.problem, worker, scratch); });
  return call.masks;
}

Tensor sample_masks_backward(const Tensor& grad, const Tensor& logits, const Tensor& rng,
                             const OptionalTensor& streams, int64_t num_samples, double temperature,
                             bool antithetic) {
  const MaskBackwardCall call(grad, logits, rng, streams, num_samples, temperature, antithetic);
  run(worker_count(call.problem.shape, 1), scratch_bytes(call.problem),
      [&](Worker worker, void* scratch) { mask_backward(call.problem, worker, scratch); });
  return call.grad_logits;
}

Tensor simplified_concrete(const Tensor& logits, const Tensor& u, double temperature) {
  const ConcreteForwardCall call(logits, u, temperature);
  run(worker_count(call.problem.count, call.problem.count), 0,
      [&](Worker worker, void*) { concrete_forward(call.problem, worker); });
  return call.masks;
}

Tensor simplified_concrete_backward(const Tensor& grad, const Tensor& masks, double temperature) {
  const ConcreteBackwardCall call(grad, masks, temperature);
  run(worker_count(call.problem.count, call.problem.count), 0,
      [&](Worker worker, void*) { concrete_backward(call.problem, worker); });
  return call.grad_logits;
}

std::string cpu_isa() { return row_set().isa; }

}  // namespace
}  // namespace sdfido::cpu

STABLE_TORCH_LIBRARY_IMPL(sdfido, CPU, m) {
  m.impl("sample_masks", TORCH_BOX(&sdfido::cpu::sample_masks));
  m.impl("sample_masks_backward", TORCH_BOX(&sdfido::cpu::sample_masks_backward));
  m.impl("sample_composites", TORCH_BOX(&sdfido::cpu::sample_composites));
  m.impl("sample_composites_backward", TORCH_BOX(&sdfido::cpu::sample_composites_backward));
  m.impl("simplified_concrete", TORCH_BOX(&sdfido::cpu::simplified_concrete));
  m.impl("simplified_concrete_backward", TORCH_BOX(&sdfido::cpu::simplified_concrete_backward));
}

STABLE_TORCH_LIBRARY_IMPL(sdfido, CompositeExplicitAutograd, m) {
  m.impl("cpu_isa", TORCH_BOX(&sdfido::cpu::cpu_isa));
}
