// Composites of three channels in channels-last layout: a thread's four pixels are three pieces of four numbers in a row.
#pragma once
#include "device.cuh"

namespace sdfido::cuda {

// A piece: four numbers as they are stored, in words of 32 bits.
template <typename Stored>
struct alignas(sizeof(Stored) * 4) Words {
  static constexpr int kCount = sizeof(Stored);
  unsigned words[kCount];
};
__device__ __forceinline__ Words<float> words_of(const float (&v)[4], float) {
  return {__float_as_uint(v[0]), __float_as_uint(v[1]), __float_as_uint(v[2]), __float_as_uint(v[3])};
}
template <typename Stored>
__device__ __forceinline__ Words<Stored> words_of(const float (&v)[4], Stored) {
  const uint2 rounded = round_four<Stored>(v);
  return {rounded.x, rounded.y};
}
__device__ __forceinline__ void store_words(float* p, const Words<float>& v) {
  __stcg(reinterpret_cast<uint4*>(p), make_uint4(v.words[0], v.words[1], v.words[2], v.words[3]));
}
template <typename Stored>
__device__ __forceinline__ void store_words(Stored* p, const Words<Stored>& v) {
  __stcg(reinterpret_cast<uint2*>(p), make_uint2(v.words[0], v.words[1]));
}

// Two lanes whose numbers differ in `bit` have three pieces each, six in a row. Afterwards the lower one has the first,
// third and fifth of these, the other one those between. All lanes of a warp.
template <typename Stored>
__device__ __forceinline__ void interleave(Words<Stored> (&pieces)[3], int bit) {
  const bool upper = threadIdx.x & bit;
#pragma unroll
  for (int i = 0; i < Words<Stored>::kCount; ++i) {
    const unsigned other = __shfl_xor_sync(0xFFFFFFFFu, pieces[1].words[i], bit);
    const unsigned first = pieces[0].words[i], last = pieces[2].words[i];
    pieces[0].words[i] = upper ? other : first;
    pieces[1].words[i] = upper ? first : last;
    pieces[2].words[i] = upper ? last : other;
  }
}

// Writes the pieces that values_of(piece, values) gives, kChannels of each thread. Each store of a warp fills sectors of
// memory, 32 bytes: as many threads side by side as have a piece of a sector exchange theirs first.
template <typename Stored, typename ValuesOf>
__device__ __forceinline__ void write_pieces(Stored* out, const Shape& s, const Pixels& pixels, ValuesOf values_of) {
  constexpr int kTogether = 32 / (4 * sizeof(Stored));
  if constexpr (kTogether == 1) {  // float64
#pragma unroll
    for (int piece = 0; piece < kChannels; ++piece) {
      double values[4];
      values_of(piece, values);
      if (pixels.valid > 0) store_vector(out + int64_t{pixels.offset} * kChannels + piece * kVector, values);
    }
  } else {
    Words<Stored> pieces[kChannels];
#pragma unroll
    for (int piece = 0; piece < kChannels; ++piece) {
      float values[4];
      values_of(piece, values);
      pieces[piece] = words_of(values, Stored{});
    }
#pragma unroll
    for (int bit = 1; bit < kTogether; bit *= 2) interleave(pieces, bit);
    const int number = thread_index() % kTogether, column = pixels.column - number * kVector;
    // Where the pieces of threads that lie together end: the width is a multiple of kVector.
    const int width = min(static_cast<int>(s.width) - column, kTogether * kVector);
    const int end = pixels.row < static_cast<int>(s.height) ? width * kChannels : 0;
    Stored* const to = out + int64_t{pixels.offset - number * kVector} * kChannels + number * kVector;
    if (end >= kTogether * kChannels * kVector) {  // all are inside
#pragma unroll
      for (int i = 0; i < kChannels; ++i) store_words(to + i * kTogether * kVector, pieces[i]);
    } else {
#pragma unroll
      for (int i = 0; i < kChannels; ++i)
        if ((i * kTogether + number) * kVector < end) store_words(to + i * kTogether * kVector, pieces[i]);
    }
  }
}

}  // namespace sdfido::cuda
