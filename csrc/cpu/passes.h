// Forward and backward passes of the CPU backend, free of torch: each is cut into pieces that do not depend on one
// another, and worker i of n does the i-th share of them. Results do not depend on how they are cut.
#pragma once
#include <cstddef>

#include "../problem.h"

namespace sdfido::cpu {

struct Worker {
  int64_t index, count;
};

// Bytes of private memory that each worker needs; and of memory shared by all workers of composites_forward.
size_t scratch_bytes(const CompositesForward& problem);
size_t scratch_bytes(const CompositesBackward& problem);
size_t scratch_bytes(const BlendForward& problem);
size_t scratch_bytes(const BlendBackward& problem);
size_t scratch_bytes(const MasksForward& problem);
size_t scratch_bytes(const MasksBackward& problem);
size_t shared_bytes(const Shape& shape);

// `scratch` is aligned to 64 bytes and private to the worker.
void composites_forward(const CompositesForward& problem, Worker worker, void* scratch, double* shared);
void composites_penalties(const CompositesForward& problem, const double* shared);  // once, after all workers
void composites_backward(const CompositesBackward& problem, Worker worker, void* scratch);
void blend_forward(const BlendForward& problem, Worker worker, void* scratch);
void blend_backward(const BlendBackward& problem, Worker worker, void* scratch);
void masks_forward(const MasksForward& problem, Worker worker, void* scratch);
void masks_backward(const MasksBackward& problem, Worker worker, void* scratch);
void concrete_forward(const ConcreteForward& problem, Worker worker);
void concrete_backward(const ConcreteBackward& problem, Worker worker);

}  // namespace sdfido::cpu
