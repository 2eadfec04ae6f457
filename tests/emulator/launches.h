// The kernels of csrc/cuda as functions that run to their end.
#pragma once
#include "problem.h"

namespace sdfido::cuda {

// Workspace is their own: it starts full of NaN, with tickets at zero, to which they must return.
void launch(const CompositesForward& problem);
void launch(const BlendForward& problem);
// `blocks` stride over the items; of the next two, those of the second launch.
void launch(const CompositesBackward& problem, unsigned blocks);
void launch(const BlendBackward& problem, unsigned blocks);
void launch(const MasksForward& problem, unsigned blocks);
void launch(const MasksBackward& problem, unsigned blocks);
void launch(const ConcreteForward& problem, unsigned blocks);
void launch(const ConcreteBackward& problem, unsigned blocks);

// Launches of fewer blocks are divided further; as on a GPU without a call.
void set_enough_blocks(int64_t blocks);

// In a block: of the kernels for composites, and of the others.
int composite_threads();
int mask_threads();

}  // namespace sdfido::cuda
