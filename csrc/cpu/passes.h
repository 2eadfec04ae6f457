// Forward and backward passes of the CPU backend, free of torch: each is cut into pieces that do not depend
// on one another, and worker i of n does the i-th share of them. Results do not depend on how they are cut.
#pragma once
#include <cstddef>

#include "../problem.h"

namespace sdfido::cpu {

struct Worker {
  int64_t index, count;
};

// Pieces that a call has, for at most `threads` workers.
int64_t piece_count(const Shape& shape, int64_t threads);

// Bytes of private memory that each worker needs; and of memory shared by all workers of a forward pass.
size_t scratch_bytes(const CompositeForward& problem);
size_t scratch_bytes(const CompositeBackward& problem);
size_t scratch_bytes(const MaskForward& problem);
size_t scratch_bytes(const MaskBackward& problem);
size_t shared_bytes(const Shape& shape);

// `scratch` is aligned to 64 bytes and private to the worker.
void composite_forward(const CompositeForward& problem, Worker worker, void* scratch, double* shared);
void composite_penalties(const CompositeForward& problem, const double* shared);  // once, after all workers
void composite_backward(const CompositeBackward& problem, Worker worker, void* scratch);
void mask_forward(const MaskForward& problem, Worker worker, void* scratch);
void mask_backward(const MaskBackward& problem, Worker worker, void* scratch);
void concrete_forward(const ConcreteForward& problem, Worker worker);
void concrete_backward(const ConcreteBackward& problem, Worker worker);

}  // namespace sdfido::cpu
