// Philox4x32-10, a counter-based random function (Salmon et al., "Parallel random numbers", SC 2011).
//
// A round takes (c0, c1, c2, c3), with A = 0xD2511F53 and B = 0xCD9E8D57, to
//
//   (hi(B*c2) ^ c1 ^ key.low,  lo(B*c2),  hi(A*c0) ^ c3 ^ key.high,  lo(A*c0))
#pragma once
#include "host_device.h"

namespace sdfido {

struct PhiloxKey {
  uint32_t low, high;
};

// The counter's word for one mask of one image: stream * masks + mask, which may wrap around.
SDFIDO_INLINE uint32_t stream_word(int64_t stream, int64_t masks, int64_t mask) {
  return static_cast<uint32_t>(static_cast<uint64_t>(stream) * static_cast<uint64_t>(masks) +
                               static_cast<uint64_t>(mask));
}

// Arithmetic on 64-bit values of which the low 32 bits count.
struct ScalarLanes {
  SDFIDO_INLINE uint64_t product(uint64_t a, uint32_t b) const { return uint64_t{static_cast<uint32_t>(a)} * b; }
  SDFIDO_INLINE uint64_t high_xor(uint64_t product, uint64_t b, uint32_t c) const { return (product >> 32) ^ b ^ c; }
};

// Replaces a counter by its four random words. Only the low 32 bits of each Lane count, on the way in and out; it may
// be a vector of 64-bit values, given its arithmetic.
template <typename Lane, typename Lanes>
SDFIDO_INLINE void philox4x32_10(Lane& c0, Lane& c1, Lane& c2, Lane& c3, PhiloxKey key, Lanes lanes) {
#if defined(__CUDACC__)
#pragma unroll
#else
#pragma GCC unroll 10
#endif
  for (uint32_t round = 0; round < 10; ++round) {  // mutant: philox-rounds
    const Lane product0 = lanes.product(c0, 0xD2511F53u), product1 = lanes.product(c2, 0xCD9E8D57u);
    c0 = lanes.high_xor(product1, c1, key.low + round * 0x9E3779B9u);
    c1 = product1;
    c2 = lanes.high_xor(product0, c3, key.high + round * 0xBB67AE85u);
    c3 = product0;
  }
}

}  // namespace sdfido
