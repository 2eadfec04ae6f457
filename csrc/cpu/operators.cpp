// Dispatch key CPU: memory and threads around the passes.
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>

#include "../calls.h"
#include "bands.h"
#include "loops.h"

namespace sdfido::cpu {
namespace {

// Below so many values, starting a thread costs more than it saves. Found on two cores of an AMD EPYC (AVX-512).
constexpr int64_t kValuesPerThread = 1 << 14;

struct AlignedDelete {
  void operator()(char* memory) const { ::operator delete(memory, std::align_val_t{64}); }
};
using AlignedMemory = std::unique_ptr<char, AlignedDelete>;

AlignedMemory allocate(size_t bytes) {
  return AlignedMemory(static_cast<char*>(::operator new(bytes + 64, std::align_val_t{64})));
}

// From so many bytes on, glibc takes memory from the system for each tensor, and gives it back: its pages are new each
// time (32 MiB is the largest value that its threshold grows to). Huge pages spare most of the faults.
constexpr int64_t kFreshBytes = int64_t{32} << 20;

void prefer_huge_pages(void* data, int64_t bytes) {
#if defined(__linux__)
  constexpr uintptr_t kPage = uintptr_t{2} << 20;
  const auto address = reinterpret_cast<uintptr_t>(data);
  const uintptr_t begin = (address + kPage - 1) / kPage * kPage,
                  end = (address + static_cast<uintptr_t>(bytes)) / kPage * kPage;
  if (bytes >= kFreshBytes && begin < end)
    madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);  // advice: what comes of it is the same
#else
  (void)data, (void)bytes;
#endif
}

void prefer_huge_pages(const Blending& p, void* composites) {
  const Shape& s = p.shape;
  prefer_huge_pages(composites,
                    s.images * s.masks * s.samples * s.channels * s.pixels() * element_size(p.composite_format));
}

// Calls pass(worker, its memory) in parallel. Memory is there before the first thread starts: nothing throws inside.
template <typename Pass>
void run(int64_t pieces, int64_t values, size_t bytes, Pass pass) {
  const int64_t threads = torch::stable::get_num_threads();
  const int64_t workers = std::min({threads, pieces, values / kValuesPerThread + 1});
  if (workers <= 0) return;
  const AlignedMemory memory = allocate(bytes * static_cast<size_t>(workers));
  torch::stable::parallel_for(0, workers, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) pass(Worker{i, workers}, memory.get() + static_cast<size_t>(i) * bytes);
  });
}

template <typename Pass>
void run(const Shape& s, int64_t channels, size_t bytes, Pass pass) {
  run(piece_count(s, torch::stable::get_num_threads()), s.images * s.masks * s.samples * channels * s.pixels(), bytes,
      pass);
}

void run_sample_composites(const CompositesForwardCall& call) {
  const CompositesForward& p = call.problem;
  prefer_huge_pages(p, p.composites);
  const AlignedMemory shared = allocate(shared_bytes(p.shape));
  auto* sums = reinterpret_cast<double*>(shared.get());
  run(p.shape, p.shape.channels, scratch_bytes(p),
      [&](Worker worker, void* scratch) { composites_forward(p, worker, scratch, sums); });
  composites_penalties(p, sums);
}

void run_sample_composites_backward(const CompositesBackwardCall& call) {
  const CompositesBackward& p = call.problem;
  run(p.shape, p.shape.channels, scratch_bytes(p),
      [&](Worker worker, void* scratch) { composites_backward(p, worker, scratch); });
}

void run_blend(const BlendForwardCall& call) {
  const BlendForward& p = call.problem;
  prefer_huge_pages(p, p.composites);
  run(p.shape, p.shape.channels, scratch_bytes(p),
      [&](Worker worker, void* scratch) { blend_forward(p, worker, scratch); });
}

void run_blend_backward(const BlendBackwardCall& call) {
  const BlendBackward& p = call.problem;
  run(p.shape, p.shape.channels, scratch_bytes(p),
      [&](Worker worker, void* scratch) { blend_backward(p, worker, scratch); });
}

void run_sample_masks(const MasksForwardCall& call) {
  const MasksForward& p = call.problem;
  const Shape& s = p.shape;
  prefer_huge_pages(p.masks, s.images * s.masks * s.samples * s.cells() * (p.float64 ? 8 : 4));
  run(s, 1, scratch_bytes(p), [&](Worker worker, void* scratch) { masks_forward(p, worker, scratch); });
}

void run_sample_masks_backward(const MasksBackwardCall& call) {
  const MasksBackward& p = call.problem;
  run(p.shape, 1, scratch_bytes(p), [&](Worker worker, void* scratch) { masks_backward(p, worker, scratch); });
}

void run_simplified_concrete(const ConcreteForwardCall& call) {
  const ConcreteForward& p = call.problem;
  run(p.count, p.count, 0, [&](Worker worker, void*) { concrete_forward(p, worker); });
}

void run_simplified_concrete_backward(const ConcreteBackwardCall& call) {
  const ConcreteBackward& p = call.problem;
  run(p.count, p.count, 0, [&](Worker worker, void*) { concrete_backward(p, worker); });
}

std::string cpu_isa() { return loop_set().isa; }

}  // namespace
}  // namespace sdfido::cpu

STABLE_TORCH_LIBRARY_IMPL(sdfido, CPU, m) {
  using namespace sdfido;
  m.impl("sample_masks", TORCH_BOX((&Operator<sample_masks_call, cpu::run_sample_masks>::run)));
  m.impl("sample_masks_backward",
         TORCH_BOX((&Operator<sample_masks_backward_call, cpu::run_sample_masks_backward>::run)));
  m.impl("sample_composites", TORCH_BOX((&Operator<sample_composites_call, cpu::run_sample_composites>::run)));
  m.impl("sample_composites_backward",
         TORCH_BOX((&Operator<sample_composites_backward_call, cpu::run_sample_composites_backward>::run)));
  m.impl("blend", TORCH_BOX((&Operator<blend_call, cpu::run_blend>::run)));
  m.impl("blend_backward", TORCH_BOX((&Operator<blend_backward_call, cpu::run_blend_backward>::run)));
  m.impl("simplified_concrete", TORCH_BOX((&Operator<simplified_concrete_call, cpu::run_simplified_concrete>::run)));
  m.impl("simplified_concrete_backward",
         TORCH_BOX((&Operator<simplified_concrete_backward_call, cpu::run_simplified_concrete_backward>::run)));
}

STABLE_TORCH_LIBRARY_IMPL(sdfido, CompositeExplicitAutograd, m) { m.impl("cpu_isa", TORCH_BOX(&sdfido::cpu::cpu_isa)); }
