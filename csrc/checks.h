// Checks of the operators' arguments. Each message names the argument, what it must be and what it was.
#pragma once
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"  // in torch's own headers
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#pragma GCC diagnostic pop

#include <initializer_list>
#include <optional>

#include "problem.h"

namespace sdfido {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using OptionalTensor = std::optional<Tensor>;

Format format_of(const Tensor& tensor, const char* name);

bool same_device(const Tensor& a, const Tensor& b);
bool has_sizes(const Tensor& tensor, std::initializer_list<int64_t> sizes);

void check_temperature(double temperature);

// Logits [N, K, h, w] and the masks sampled from them: sizes of both. True for float64.
bool check_logits(const Tensor& logits);
Shape check_samples(const Tensor& logits, int64_t num_samples);
Sampling check_sampling(const Tensor& logits, const Tensor& rng, const OptionalTensor& streams, double temperature,
                        bool antithetic);

// Masks [N, K, S, h, w] that are given: their sizes.
Shape check_masks(const Tensor& masks);

// Image and infill beside the logits or masks called `name`, whose sizes `shape` has; adds theirs to it.
void check_images(const Tensor& masks, const char* name, const Tensor& image, const Tensor& infill, Shape& shape);

// What is computed in float64 is stored in it, and nothing else is.
void check_composites_dtype(const char* what, Format composites, Format images);

// Two tensors of one shape, called `what` together. True for float64.
bool check_pair(const Tensor& a, const Tensor& b, const char* what);

}  // namespace sdfido
