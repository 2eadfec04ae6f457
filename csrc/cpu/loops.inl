// The loops behind loops.h. Included by loops_<isa>.cpp, with its instruction set switched on, and with SDFIDO_ISA, the
// level's name, and SDFIDO_LANES, the number of 64-bit lanes of its vectors.
#include "../math/composite.h"
#include "../math/concrete.h"
#include "../math/penalties.h"
#include "../math/upsample.h"
#include "loops.h"

#if defined(__clang__)
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#endif

namespace sdfido::cpu::SDFIDO_ISA {
namespace {

// Compilers do not find the instruction that multiplies 32-bit halves of 64-bit lanes, and Philox is little else.
typedef uint64_t Lanes __attribute__((vector_size(8 * SDFIDO_LANES)));
typedef uint32_t Halves __attribute__((vector_size(4 * SDFIDO_LANES)));

// Two vectors at a time: while one waits for its product, the other goes on.
struct Pair {
  Lanes first, second;
};

struct VectorLanes {
  SDFIDO_INLINE Lanes product(const Lanes& a, uint32_t b) const {
    const Lanes factor = Lanes{} + b;
#if SDFIDO_LANES == 8
    return (Lanes)_mm512_maskz_mul_epu32(0xFF, (__m512i)a, (__m512i)factor);  // unmasked, GCC 12 warns
#elif SDFIDO_LANES == 4
    return (Lanes)_mm256_mul_epu32((__m256i)a, (__m256i)factor);
#elif defined(__SSE2__)
    return (Lanes)_mm_mul_epu32((__m128i)a, (__m128i)factor);
#else
    return (a & uint64_t{0xFFFFFFFFu}) * factor;
#endif
  }
  SDFIDO_INLINE Lanes high_xor(const Lanes& product, const Lanes& b, uint32_t c) const {
#if SDFIDO_LANES == 8
    return (Lanes)_mm512_ternarylogic_epi64((__m512i)(product >> 32), (__m512i)b, (__m512i)(Lanes{} + c), 0x96);
#else
    return (product >> 32) ^ b ^ uint64_t{c};
#endif
  }
  SDFIDO_INLINE Pair product(const Pair& a, uint32_t b) const { return {product(a.first, b), product(a.second, b)}; }
  SDFIDO_INLINE Pair high_xor(const Pair& product, const Pair& b, uint32_t c) const {
    return {high_xor(product.first, b.first, c), high_xor(product.second, b.second, c)};
  }
};

SDFIDO_INLINE void store_low_halves(const Pair& pair, uint32_t* out) {
#if SDFIDO_LANES == 8
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  _mm512_storeu_si512(out, _mm512_permutex2var_epi32((__m512i)pair.first, even, (__m512i)pair.second));
#else
  const Halves first = __builtin_convertvector(pair.first, Halves),
               second = __builtin_convertvector(pair.second, Halves);
  std::memcpy(out, &first, sizeof first);
  std::memcpy(out + SDFIDO_LANES, &second, sizeof second);
#endif
}

SDFIDO_INLINE Pair pair_of(uint32_t value) { return {Lanes{} + value, Lanes{} + value}; }

void words(uint32_t first_cell, uint32_t stream, uint32_t block, uint32_t step, PhiloxKey key, int64_t n,
           uint32_t* __restrict out, int64_t stride) {
  Pair cells;
  for (int j = 0; j < SDFIDO_LANES; ++j) cells.first[j] = first_cell + static_cast<uint32_t>(j);
  cells.second = cells.first + uint64_t{SDFIDO_LANES};
  for (int64_t i = 0; i < n; i += 2 * SDFIDO_LANES) {
    Pair c[4] = {cells, pair_of(stream), pair_of(block), pair_of(step)};
    philox4x32_10(c[0], c[1], c[2], c[3], key, VectorLanes{});
    for (int q = 0; q < 4; ++q) store_low_halves(c[q], out + q * stride + i);
    cells.first += uint64_t{2 * SDFIDO_LANES};
    cells.second += uint64_t{2 * SDFIDO_LANES};
  }
}

template <typename T, int kPower>
void prepare(const T* __restrict logits, T* __restrict prepared, int64_t n) {
  INDEPENDENT
  for (int64_t i = 0; i < n; ++i) prepared[i] = prepare_logit<kPower>(logits[i]);
}

template <typename T, int kPower>
void masks(const uint32_t* __restrict words, uint32_t flip, const T* __restrict prepared, T inverse_temperature,
           T* __restrict masks, int64_t n) {
  INDEPENDENT
  for (int64_t i = 0; i < n; ++i)
    masks[i] = mask_of_odds<kPower>(odds_of_word<T>(words[i] ^ flip), prepared[i], inverse_temperature);
}

template <typename T, int kPower>
void add_slopes(const uint32_t* __restrict words, uint32_t flip, const T* __restrict prepared, T inverse_temperature,
                const T* __restrict grad, T* __restrict sum, int64_t n) {
  INDEPENDENT
  for (int64_t i = 0; i < n; ++i) {
    const T m = mask_of_odds<kPower>(odds_of_word<T>(words[i] ^ flip), prepared[i], inverse_temperature);
    sum[i] += grad[i] * mask_slope(m);
  }
}

template <typename T, typename Stored>
void load_image(const void* image, int64_t offset, int64_t stride, T* __restrict out, int64_t out_stride, int64_t n) {
  const Stored* __restrict in = static_cast<const Stored*>(image) + offset;
  if (stride == 1 && out_stride == 1) {
    INDEPENDENT
    for (int64_t i = 0; i < n; ++i) out[i] = load(in[i]);
  } else {
    for (int64_t i = 0; i < n; ++i) out[i * out_stride] = load(in[i * stride]);
  }
}

template <typename T, typename Stored>
void store_image(const T* __restrict values, int64_t stride, void* image, int64_t offset, int64_t n) {
  Stored* __restrict out = static_cast<Stored*>(image) + offset;
  for (int64_t i = 0; i < n; ++i) store(values[i * stride], out[i]);
}

template <typename T>
void subtract(const T* __restrict a, T* __restrict b, int64_t n) {
  INDEPENDENT
  for (int64_t i = 0; i < n; ++i) b[i] = b[i] - a[i];
}

template <typename T, typename Stored>
void blend_planes(const T* __restrict infill, const T* __restrict difference, const T* __restrict masks,
                  void* composites, int64_t offset, int64_t channel_stride, int64_t channels, int64_t n) {
  for (int64_t c = 0; c < channels; ++c) {
    Stored* __restrict out = static_cast<Stored*>(composites) + offset + c * channel_stride;
    const T* __restrict base = infill + c * n, * __restrict step = difference + c * n;
    INDEPENDENT
    for (int64_t i = 0; i < n; ++i) store(composite(base[i], step[i], masks[i]), out[i]);
  }
}

// kChannels = 0: any number of channels.
template <typename T, typename Stored, int kChannels>
void blend_pixels(const T* __restrict infill, const T* __restrict difference, const T* __restrict masks,
                  void* composites, int64_t offset, int64_t, int64_t channels, int64_t n) {
  const int64_t count = kChannels ? kChannels : channels;
  Stored* __restrict out = static_cast<Stored*>(composites) + offset;
  INDEPENDENT
  for (int64_t i = 0; i < n; ++i)
    for (int64_t c = 0; c < count; ++c)
      store(composite(infill[i * count + c], difference[i * count + c], masks[i]), out[i * count + c]);
}

void stream(const void* from, void* to, int64_t bytes) {
  const char* in = static_cast<const char*>(from);
  char* out = static_cast<char*>(to);
#if defined(__SSE2__)
  constexpr int64_t kLine = 64;  // of the cache, and whole ones at that
  const int64_t unaligned = -static_cast<int64_t>(reinterpret_cast<uintptr_t>(out)) & (kLine - 1);
  const int64_t head = unaligned < bytes ? unaligned : bytes;
  std::memcpy(out, in, static_cast<size_t>(head));
  int64_t i = head;
  for (; i + kLine <= bytes; i += kLine) {
#if SDFIDO_LANES == 8
    _mm512_stream_si512(reinterpret_cast<__m512i*>(out + i), _mm512_loadu_si512(in + i));
#elif SDFIDO_LANES == 4
    for (int64_t j = i; j < i + kLine; j += 32)
      _mm256_stream_si256(reinterpret_cast<__m256i*>(out + j),
                          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(in + j)));
#else
    for (int64_t j = i; j < i + kLine; j += 16)
      _mm_stream_si128(reinterpret_cast<__m128i*>(out + j), _mm_loadu_si128(reinterpret_cast<const __m128i*>(in + j)));
#endif
  }
  in += i, out += i, bytes -= i;
#endif
  std::memcpy(out, in, static_cast<size_t>(bytes));
}

template <typename T, typename Stored, int kChannels>
void project_planes(const void* grad, int64_t offset, int64_t channel_stride, const T* __restrict difference,
                    T* __restrict out, int64_t channels, int64_t n) {
  const int64_t count = kChannels ? kChannels : channels;
  const Stored* __restrict in = static_cast<const Stored*>(grad) + offset;
  if constexpr (kChannels > 0) {
    INDEPENDENT
    for (int64_t i = 0; i < n; ++i) {
      T sum = load(in[i]) * difference[i];
      for (int64_t c = 1; c < kChannels; ++c) sum += load(in[c * channel_stride + i]) * difference[c * n + i];
      out[i] = sum;
    }
  } else {
    for (int64_t i = 0; i < n; ++i) out[i] = T(0);
    for (int64_t c = 0; c < count; ++c) {
      INDEPENDENT
      for (int64_t i = 0; i < n; ++i) out[i] += load(in[c * channel_stride + i]) * difference[c * n + i];
    }
  }
}

template <typename T, typename Stored, int kChannels>
void project_pixels(const void* grad, int64_t offset, int64_t, const T* __restrict difference, T* __restrict out,
                    int64_t channels, int64_t n) {
  const int64_t count = kChannels ? kChannels : channels;
  const Stored* __restrict in = static_cast<const Stored*>(grad) + offset;
  INDEPENDENT
  for (int64_t i = 0; i < n; ++i) {
    T sum = T(0);
    for (int64_t c = 0; c < count; ++c) sum += load(in[i * count + c]) * difference[i * count + c];
    out[i] = sum;
  }
}

template <typename T, typename Stored, bool kChannelsLast>
void add_image_gradients(const void* grad, int64_t offset, int64_t channel_stride, const T* __restrict masks,
                         T* __restrict image_sum, T* __restrict infill_sum, int64_t channels, int64_t n) {
  const Stored* __restrict in = static_cast<const Stored*>(grad) + offset;
  const int64_t pixel_step = kChannelsLast ? channels : 1;
  for (int64_t c = 0; c < channels; ++c) {
    const Stored* __restrict plane = in + (kChannelsLast ? c : c * channel_stride);
    const int64_t first = kChannelsLast ? c : c * n;
    INDEPENDENT
    for (int64_t i = 0; i < n; ++i) {
      const T g = load(plane[i * pixel_step]);
      image_sum[first + i * pixel_step] += masks[i] * g;
      infill_sum[first + i * pixel_step] += (T(1) - masks[i]) * g;
    }
  }
}

template <typename T>
void interpolate_columns(const T* __restrict cells, const int32_t* __restrict first, const int32_t* __restrict second,
                         const T* __restrict weight, T* __restrict out, int64_t n) {
  INDEPENDENT
  for (int64_t i = 0; i < n; ++i) out[i] = interpolate(cells[first[i]], cells[second[i]], weight[i]);
}

template <typename T>
void interpolate_rows(const T* __restrict first, const T* __restrict second, T weight, T* __restrict out, int64_t n) {
  INDEPENDENT
  for (int64_t i = 0; i < n; ++i) out[i] = interpolate(first[i], second[i], weight);
}

template <typename T>
void add_scaled(const T* __restrict values, T scale, T* __restrict sum, int64_t n) {
  INDEPENDENT
  for (int64_t i = 0; i < n; ++i) sum[i] += scale * values[i];
}

template <typename T>
void gather_columns(const T* __restrict values, const int32_t* __restrict start, const T* __restrict weights,
                    int64_t taps, T* __restrict out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) out[i] = T(0);
  for (int64_t j = 0; j < taps; ++j) {
    const T* __restrict weight = weights + j * n;
    INDEPENDENT
    for (int64_t i = 0; i < n; ++i) out[i] += weight[i] * values[start[i] + j];
  }
}

template <typename T>
void scale(T* __restrict values, T factor, int64_t n) {
  INDEPENDENT
  for (int64_t i = 0; i < n; ++i) values[i] *= factor;
}

template <typename T>
void rates(const T* __restrict logits, T* __restrict rates, int64_t n) {
  INDEPENDENT
  for (int64_t i = 0; i < n; ++i) rates[i] = keep_rate(logits[i]);
}

// Sixteen partial sums, lane = i mod 16, added up in order: the same bits at every instruction-set level.
constexpr int64_t kLanes = 16;

template <typename T>
void penalties(const T* __restrict rates, const T* __restrict below, double* __restrict sums, int64_t n) {
  // Three sums at a time, as each one alone waits for its own addition before.
  T area[kLanes] = {}, right[kLanes] = {}, under[kLanes] = {};
  const T* down = below ? below : rates;
  int64_t i = 0;
  for (; i + kLanes < n; i += kLanes) {
    for (int64_t j = 0; j < kLanes; ++j) {
      area[j] += rates[i + j];
      right[j] += variation(rates[i + j + 1], rates[i + j]);
      under[j] += variation(down[i + j], rates[i + j]);
    }
  }
  for (int64_t j = 0; i + j < n; ++j) {
    area[j] += rates[i + j];
    if (i + j + 1 < n) right[j] += variation(rates[i + j + 1], rates[i + j]);
    under[j] += variation(down[i + j], rates[i + j]);
  }
  double area_sum = 0, change_sum = 0;
  for (int64_t j = 0; j < kLanes; ++j) area_sum += area[j], change_sum += right[j] + under[j];
  sums[0] = area_sum, sums[1] = change_sum;
}

template <typename T>
void add_penalty_gradient(const T* __restrict above, const T* __restrict rates, const T* __restrict below, T sparsity,
                          T smoothness, T* __restrict grad, int64_t n) {
  // A neighbour that is not there stands in for itself: its slope is 0.
  const T *up = above ? above : rates, *down = below ? below : rates;
  for (int64_t i = 0; i < n; i += n > 1 ? n - 1 : 1) {  // first and last cell
    const T left = rates[i > 0 ? i - 1 : i], right = rates[i < n - 1 ? i + 1 : i];
    grad[i] += penalty_gradient(rates[i], left, right, up[i], down[i], sparsity, smoothness);
  }
  INDEPENDENT
  for (int64_t i = 1; i < n - 1; ++i)
    grad[i] += penalty_gradient(rates[i], rates[i - 1], rates[i + 1], up[i], down[i], sparsity, smoothness);
}

template <typename T, int kPower>
void concrete(const T* __restrict logits, const T* __restrict uniforms, T inverse_temperature, T* __restrict masks,
              int64_t n) {
  INDEPENDENT
  for (int64_t i = 0; i < n; ++i) {
    masks[i] = mask_of_uniform<kPower>(logits[i], uniforms[i], inverse_temperature);
  }
}

template <typename T>
void concrete_gradient(const T* __restrict masks, const T* __restrict grad, T inverse_temperature, T* __restrict out,
                       int64_t n) {
  INDEPENDENT
  for (int64_t i = 0; i < n; ++i) out[i] = grad[i] * mask_slope(masks[i]) * inverse_temperature;
}

#include "loops_choice.inl"

}  // namespace

#define SDFIDO_STRING(x) #x
#define SDFIDO_NAME(x) SDFIDO_STRING(x)
const LoopSet loop_set{SDFIDO_NAME(SDFIDO_ISA), float32_loops, float64_loops};

}  // namespace sdfido::cpu::SDFIDO_ISA

#undef INDEPENDENT
