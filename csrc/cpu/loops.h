// The vectorised inner loops of the CPU backend: one source (loops.inl), built once for each instruction-set level.
#pragma once
#include "../math/concrete.h"
#include "../math/philox.h"
#include "../problem.h"

namespace sdfido::cpu {

// What decides which instance of a loop a call needs.
struct LoopChoice {
  int power;  // 1/temperature where that is a small integer, else 0
  Format image_format, composite_format;
  bool channels_last;
  int64_t channels;
};

inline constexpr int64_t kWordsAlign = 16;

// Loops over n cells or pixels. Local buffers of C channels hold [C, n], or [n, C] if composites are channels-last;
// `offset` and `channel_stride` count elements of the tensor's own format.
template <typename T>
struct Loops {
  // words[q * stride + i] = word q of the counter (first_cell + i, stream, block, step); whole vectors are written, so
  // stride is a multiple of kWordsAlign, and n at most stride.
  void (*words)(uint32_t first_cell, uint32_t stream, uint32_t block, uint32_t step, PhiloxKey key, int64_t n,
                uint32_t* words, int64_t stride);
  void (*prepare)(const T* logits, T* prepared, int64_t n);
  void (*masks)(const uint32_t* words, uint32_t flip, const T* prepared, T inverse_temperature, T* masks, int64_t n);
  // sum += grad * m(1-m)
  void (*add_slopes)(const uint32_t* words, uint32_t flip, const T* prepared, T inverse_temperature, const T* grad,
                     T* sum, int64_t n);

  void (*load_image)(const void* image, int64_t offset, int64_t stride, T* out, int64_t out_stride, int64_t n);
  void (*load_masks)(const void* masks, int64_t offset, int64_t stride, T* out, int64_t out_stride, int64_t n);
  void (*store_image)(const T* values, int64_t stride, void* image, int64_t offset, int64_t n);
  void (*subtract)(const T* a, T* b_to_difference, int64_t n);  // b = b - a
  void (*blend)(const T* infill, const T* difference, const T* masks, void* composites, int64_t offset,
                int64_t channel_stride, int64_t channels, int64_t n);
  // Past the caches; see finish_streams.
  void (*stream)(const void* from, void* to, int64_t bytes);
  // out[i] = sum_c grad * difference
  void (*project)(const void* grad, int64_t offset, int64_t channel_stride, const T* difference, T* out,
                  int64_t channels, int64_t n);
  // image_sum += m * grad, infill_sum += (1 - m) * grad
  void (*add_image_gradients)(const void* grad, int64_t offset, int64_t channel_stride, const T* masks, T* image_sum,
                              T* infill_sum, int64_t channels, int64_t n);

  void (*interpolate_columns)(const T* cells, const int32_t* first, const int32_t* second, const T* weight, T* out,
                              int64_t n);
  void (*interpolate_rows)(const T* first, const T* second, T weight, T* out, int64_t n);
  void (*add_scaled)(const T* values, T scale, T* sum, int64_t n);  // sum += scale * values
  // sum_j weights[j * n + i] * values[start[i] + j]
  void (*gather_columns)(const T* values, const int32_t* start, const T* weights, int64_t taps, T* out, int64_t n);
  void (*scale)(T* values, T factor, int64_t n);

  void (*rates)(const T* logits, T* rates, int64_t n);
  // sums = (sum of rates, sum of |differences| to the right and, unless null, to the row below)
  void (*penalties)(const T* rates, const T* below, double* sums, int64_t n);
  // grad += rate(1-rate) * (sparsity + smoothness * slopes towards the four neighbours; rows above, below may be null)
  void (*add_penalty_gradient)(const T* above, const T* rates, const T* below, T sparsity, T smoothness, T* grad,
                               int64_t n);

  void (*concrete)(const T* logits, const T* uniforms, T inverse_temperature, T* masks, int64_t n);
  void (*concrete_gradient)(const T* masks, const T* grad, T inverse_temperature, T* out, int64_t n);
};

// Called by the thread that has streamed, before others may read it.
void finish_streams();

struct LoopSet {
  const char* isa;
  Loops<float> (*float32)(const LoopChoice&);
  Loops<double> (*float64)(const LoopChoice&);
};

const LoopSet& baseline_loops();
#if defined(__x86_64__)
const LoopSet& avx2_loops();
const LoopSet& avx512_loops();
#endif

// The best level that this machine has, or the one that SDFIDO_CPU_ISA names; chosen once.
const LoopSet& loop_set();

}  // namespace sdfido::cpu
