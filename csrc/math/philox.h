// Philox4x32-10, a counter-based random function (Salmon et al., "Parallel random numbers", SC 2011).
//
// A round takes (c0, c1, c2, c3) to (hi(B*c2) ^ c1 ^ key.low,  lo(B*c2),  hi(A*c0) ^ c3 ^ key.high,  lo(A*c0)).
#pragma once
#include "host_device.h"

namespace sdfido {

struct PhiloxKey {
  uint32_t low, high;
};

// The 64-bit product of the low halves of two 64-bit values.
struct LowHalfProduct {
  SDFIDO_INLINE uint64_t operator()(uint64_t a, uint32_t b) const { return uint64_t{static_cast<uint32_t>(a)} * b; }
};

// Replaces a counter by its four random words. Each Lane is 64 bits of which the low 32 count, on the way in and out;
// it may be a vector of such, given a product for it.
template <typename Lane, typename Product>
SDFIDO_INLINE void philox4x32_10(Lane& c0, Lane& c1, Lane& c2, Lane& c3, PhiloxKey key, Product product) {
#pragma GCC unroll 10
  for (uint32_t round = 0; round < 10; ++round) {
    const uint32_t low = key.low + round * 0x9E3779B9u, high = key.high + round * 0xBB67AE85u;
    const Lane product0 = product(c0, 0xD2511F53u), product1 = product(c2, 0xCD9E8D57u);
    c0 = (product1 >> 32) ^ c1 ^ uint64_t{low};
    c1 = product1;
    c2 = (product0 >> 32) ^ c3 ^ uint64_t{high};
    c3 = product0;
  }
}

}  // namespace sdfido
