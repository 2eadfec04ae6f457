// What the kernels share: global memory, random masks, tiles, sums over a block.
#pragma once
#include <cuda_runtime.h>

#include "../math/composite.h"
#include "../math/concrete.h"
#include "../math/penalties.h"
#include "../math/philox.h"
#include "../math/upsample.h"
#include "plan.h"

namespace sdfido::cuda {

// ---- Global memory: four elements in a row, as one access of 16 bytes (two for float64, one of 8 for 16-bit
// formats) where `vector` allows it, else one by one, up to `valid` of them.

__device__ __forceinline__ float load_one(const float* p) { return __ldg(p); }
__device__ __forceinline__ double load_one(const double* p) { return __ldg(p); }
__device__ __forceinline__ float load_one(const BFloat16* p) {
  return load(BFloat16{__ldg(reinterpret_cast<const unsigned short*>(p))});
}
__device__ __forceinline__ float load_one(const Float16* p) {
  return load(Float16{__ldg(reinterpret_cast<const unsigned short*>(p))});
}
__device__ __forceinline__ void store_one(float* p, float v) { __stcg(p, v); }
__device__ __forceinline__ void store_one(double* p, double v) { __stcg(p, v); }
template <typename Stored>
__device__ __forceinline__ void store_one(Stored* p, float v) {
  Stored s;
  store(v, s);
  __stcg(reinterpret_cast<unsigned short*>(p), s.bits);
}

__device__ __forceinline__ void load_vector(const float* p, float (&out)[4]) {
  const float4 v = __ldg(reinterpret_cast<const float4*>(p));
  out[0] = v.x, out[1] = v.y, out[2] = v.z, out[3] = v.w;
}
__device__ __forceinline__ void load_vector(const double* p, double (&out)[4]) {
  const double2 a = __ldg(reinterpret_cast<const double2*>(p)), b = __ldg(reinterpret_cast<const double2*>(p) + 1);
  out[0] = a.x, out[1] = a.y, out[2] = b.x, out[3] = b.y;
}
template <typename Stored>
__device__ __forceinline__ void load_vector(const Stored* p, float (&out)[4]) {
  const uint2 v = __ldg(reinterpret_cast<const uint2*>(p));
  const unsigned words[2] = {v.x, v.y};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    out[i] = load(Stored{static_cast<uint16_t>(words[i / 2] >> (16 * (i % 2)))});  // mutant: halves
  }
}
__device__ __forceinline__ void store_vector(float* p, const float (&v)[4]) {
  __stcg(reinterpret_cast<float4*>(p), make_float4(v[0], v[1], v[2], v[3]));
}
__device__ __forceinline__ void store_vector(double* p, const double (&v)[4]) {
  __stcg(reinterpret_cast<double2*>(p), make_double2(v[0], v[1]));
  __stcg(reinterpret_cast<double2*>(p) + 1, make_double2(v[2], v[3]));
}
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
// Two numbers in 16 bits each, rounded by the hardware: the bits of store(), but for NaN.
__device__ __forceinline__ unsigned round_two(float low, float high, BFloat16) {
  unsigned result;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
  return result;
}
__device__ __forceinline__ unsigned round_two(float low, float high, Float16) {
  unsigned result;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
  return result;
}
#endif
template <typename Stored>
__device__ __forceinline__ uint2 round_four(const float (&v)[4]) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  const bool no_nan = v[0] == v[0] && v[1] == v[1] && v[2] == v[2] && v[3] == v[3];
  if (no_nan) return make_uint2(round_two(v[0], v[1], Stored{}), round_two(v[2], v[3], Stored{}));
#endif
  Stored s[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) store(v[i], s[i]);
  return make_uint2(s[0].bits | static_cast<unsigned>(s[1].bits) << 16, s[2].bits | static_cast<unsigned>(s[3].bits)
                                                                                        << 16);
}
template <typename Stored>
__device__ __forceinline__ void store_vector(Stored* p, const float (&v)[4]) {
  __stcg(reinterpret_cast<uint2*>(p), round_four<Stored>(v));
}

// From shared memory, aligned.
__device__ __forceinline__ void load_shared(const float* p, float (&out)[4]) {
  const float4 v = *reinterpret_cast<const float4*>(p);
  out[0] = v.x, out[1] = v.y, out[2] = v.z, out[3] = v.w;
}
__device__ __forceinline__ void load_shared(const double* p, double (&out)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) out[i] = p[i];
}

__device__ __forceinline__ void store_shared(float* p, const float (&v)[4]) {
  *reinterpret_cast<float4*>(p) = make_float4(v[0], v[1], v[2], v[3]);
}
__device__ __forceinline__ void store_shared(double* p, const double (&v)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) p[i] = v[i];
}

// Elements `stride` apart; `vector` implies a stride of 1.
template <typename Stored, typename T>
__device__ __forceinline__ void load_four(const Stored* p, int64_t stride, bool vector, int valid, T (&out)[4]) {
  if (vector) {
    if (valid > 0) load_vector(p, out);
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i) out[i] = i < valid ? load_one(p + i * stride) : T(0);  // mutant: load-tail
  }
}
template <typename Stored, typename T>
__device__ __forceinline__ void store_four(Stored* p, int64_t stride, bool vector, int valid, const T (&v)[4]) {
  if (vector) {
    if (valid > 0) store_vector(p, v);
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i)
      if (i < valid) store_one(p + i * stride, v[i]);  // mutant: store-tail
  }
}

// Four pixels in a row of one channel of an input of any layout and format.
__device__ __forceinline__ void load_input(const StridedInput& input, Format format, int64_t offset, bool vector,
                                           int valid, float (&out)[4]) {
  const int64_t stride = input.strides[3];
  if (format == Format::kFloat32) {
    load_four(static_cast<const float*>(input.data) + offset, stride, vector, valid, out);
  } else if (format == Format::kBFloat16) {
    load_four(static_cast<const BFloat16*>(input.data) + offset, stride, vector, valid, out);
  } else {
    load_four(static_cast<const Float16*>(input.data) + offset, stride, vector, valid, out);
  }
}
__device__ __forceinline__ void load_input(const StridedInput& input, Format, int64_t offset, bool vector, int valid,
                                           double (&out)[4]) {
  load_four(static_cast<const double*>(input.data) + offset, input.strides[3], vector, valid, out);
}

// Four pixels in a row of one channel of a contiguous output of any format.
__device__ __forceinline__ void store_output(void* out, Format format, int64_t offset, bool vector, int valid,
                                             const float (&v)[4]) {
  if (format == Format::kFloat32) {
    store_four(static_cast<float*>(out) + offset, 1, vector, valid, v);
  } else if (format == Format::kBFloat16) {
    store_four(static_cast<BFloat16*>(out) + offset, 1, vector, valid, v);
  } else {
    store_four(static_cast<Float16*>(out) + offset, 1, vector, valid, v);
  }
}
__device__ __forceinline__ void store_output(void* out, Format, int64_t offset, bool vector, int valid,
                                             const double (&v)[4]) {
  store_four(static_cast<double*>(out) + offset, 1, vector, valid, v);
}

// ---- Registers

// Makes a value one that the compiler knows nothing about, at this point of the program. Left alone, it computes ahead
// of all loops what it can (all addresses, all round keys) and keeps it, and registers limit the number of threads.
__device__ __forceinline__ void opaque(uint32_t& value) { asm volatile("" : "+r"(value)); }

// threadIdx.x; what is computed from it stays within the part of the kernel that asks.
__device__ __forceinline__ int thread_index() {
  uint32_t index = threadIdx.x;
  opaque(index);
#if defined(__CUDA_ARCH__)
  __builtin_assume(index < 1024);  // quotients by powers of two are shifts
#endif
  return static_cast<int>(index);
}

// From the first element of all composites to that of one.
template <typename Problem>
__device__ __forceinline__ int64_t composite_offset(const CompositesPlan<Problem>& plan, int image, int mask,
                                                    int sample) {
  const int64_t (&strides)[3] = plan.composite_strides;
  return static_cast<uint32_t>(image) * strides[0] + static_cast<uint32_t>(mask) * strides[1] +
         static_cast<uint32_t>(sample) * strides[2];
}

// From the first element of given masks to that of one sample, computed where it is asked for.
__device__ __forceinline__ int64_t mask_offset(const StridedMasks& masks, int64_t image, int mask, int sample) {
  auto number = static_cast<uint32_t>(mask);
  opaque(number);
  return image * masks.strides[0] + number * masks.strides[1] + sample * masks.strides[2];  // mutant: mask-strides
}

// ---- A block's place, one tile of one image, in shared memory; and a thread's, four pixels in a row of it.

struct Pixels {
  int32_t row, column;  // of the first one
  int32_t valid;        // how many are inside the image
  int32_t offset;       // of the first one in the image
};

struct Place {
  int32_t image, tile;
  int32_t first_row, first_column;   // of the tile
  int32_t first_mask, end_mask;      // which of them the block has
  int32_t first_sample, end_sample;  // of each of these masks
  bool penalties;                    // whether it has theirs

  // One thread; the caller synchronises.
  template <typename Problem>
  __device__ __forceinline__ void find(const CompositesPlan<Problem>& plan) {
    const Shape& s = plan.problem.shape;
    const Division& division = plan.division;
    const auto count = static_cast<uint32_t>(plan.tiles.count());
    // Blocks of one tile follow each other, so that its pixels are in the cache.
    const auto blocks = static_cast<uint32_t>(division.blocks);
    const uint32_t number = blockIdx.x / blocks;
    const auto part = static_cast<int32_t>(blockIdx.x % blocks);  // mutant: part
    image = static_cast<int32_t>(number / count);
    tile = static_cast<int32_t>(number % count);
    first_row = tile / plan.tiles.columns * kTileHeight;
    first_column = tile % plan.tiles.columns * kTileWidth;
    const auto masks = static_cast<int32_t>(s.masks), samples = static_cast<int32_t>(s.samples);
    first_mask = 0, end_mask = masks;
    first_sample = 0, end_sample = samples;
    penalties = true;
    if (!division.by_mask) return;
    const int32_t sampling = masks * division.sample_parts;
    const bool alone = part >= sampling;
    penalties = alone || !division.penalties;
    first_mask = alone ? part - sampling : part / division.sample_parts;  // mutant: part-mask
    end_mask = first_mask + 1;
    if (alone) {
      end_sample = 0;
    } else {
      first_sample = part % division.sample_parts * division.part_samples;
      end_sample = min(first_sample + division.part_samples, samples);  // mutant: part-samples
    }
  }

  __device__ __forceinline__ Pixels pixels(const Shape& s) const {
    const int thread = thread_index();
    const int32_t row = first_row + thread / kThreadColumns;
    const int32_t column = first_column + thread % kThreadColumns * kVector;
    const int32_t left = static_cast<int32_t>(s.width) - column;
    const int32_t valid = row >= static_cast<int32_t>(s.height) || left <= 0 ? 0 : min(left, kVector);
    return {row, column, valid, row * static_cast<int32_t>(s.width) + column};
  }
};

// ---- Random masks

// From which the words of one image's masks come.
struct RandomState {
  PhiloxKey key;
  uint32_t step, first_stream;  // of the image's first mask

  __device__ __forceinline__ void load(const Shape& s, const Sampling& sampling, int64_t image) {
    const auto* const rng = reinterpret_cast<const long long*>(sampling.rng);
    const auto seed = static_cast<uint64_t>(__ldg(rng));
    key = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
    step = static_cast<uint32_t>(__ldg(rng + 1));
    const int64_t number =
        sampling.streams ? __ldg(reinterpret_cast<const long long*>(sampling.streams) + image) : image;
    first_stream = stream_word(number, s.masks, 0);  // mutant: streams
  }

  // The four words of a mask's cell from which the samples of a block come: four, or eight where two share one.
  __device__ __forceinline__ void words(uint32_t mask, uint32_t cell, uint32_t block, uint32_t (&out)[4]) const {
    PhiloxKey now = key;
    opaque(now.low), opaque(now.high);
    uint64_t c0 = cell, c1 = first_stream + mask, c2 = block, c3 = step;  // mutant: mask-stream
    philox4x32_10(c0, c1, c2, c3, now, ScalarLanes{});
    out[0] = static_cast<uint32_t>(c0), out[1] = static_cast<uint32_t>(c1);
    out[2] = static_cast<uint32_t>(c2), out[3] = static_cast<uint32_t>(c3);
  }
};

// From a block's four words to those of samples first, first + 1, ...: complements where samples come in pairs.
template <int kDraws>
__device__ __forceinline__ void select_words(uint32_t (&words)[4], int first, bool pairs) {
  if (pairs && first & 4) words[0] = words[2], words[1] = words[3];  // mutant: second-half
  if (kDraws == 4) {
    if (pairs) words[3] = ~words[1], words[2] = words[1], words[1] = ~words[0];  // mutant: complement
  } else if (pairs) {
    if (first & 2) words[0] = words[1];
    if (first & 1) words[0] = ~words[0];
  } else {
    if (first & 2) words[0] = words[2], words[1] = words[3];  // mutant: second-half-single
    if (first & 1) words[0] = words[1];
  }
}

template <typename T>
__device__ __forceinline__ T prepare(const Exponent& exponent, T logit) {
  return exponent.power == 0 ? prepare_logit<0>(logit) : prepare_logit<1>(logit);
}

// The masks of kDraws words.
template <int kDraws, typename T>
__device__ __forceinline__ void masks_of_words(const Exponent& exponent, const uint32_t (&words)[4], T prepared,
                                               T (&masks)[kDraws]) {
#pragma unroll
  for (int q = 0; q < kDraws; ++q) masks[q] = odds_of_word<T>(words[q]);
  masks_of_odds(masks, prepared, static_cast<T>(exponent.inverse_temperature), exponent.power, exponent.smallest);
}

// ---- Sums over a warp and over the blocks, in a fixed order.

__device__ __forceinline__ double warp_sum(double value) {
#pragma unroll
  // mutant: warp-sum
  for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(0xFFFFFFFFu, value, distance);
  return value;
}

// True in all threads of the block that is the last of `blocks` to come here; it sees what the others wrote before.
// One thread's fences do for its block: what the barrier has ordered before, or after, a fence is ordered by it, too.
__device__ __forceinline__ bool last_block(uint32_t* ticket, uint32_t blocks) {
  __shared__ bool last;
  __syncthreads();  // before the block takes its ticket
  if (threadIdx.x == 0) {
    __threadfence();                                     // before others read what this block wrote
    last = atomicInc(ticket, blocks - 1) == blocks - 1;  // mutant: ticket
    if (last) __threadfence();                           // before this block reads what others wrote
  }
  __syncthreads();  // before others read what the ticket says
  return last;
}

}  // namespace sdfido::cuda
