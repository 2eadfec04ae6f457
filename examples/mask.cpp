// Samples of a mask in C++, with the same bits as sdfido.sample_masks:
//   g++ -std=c++17 -O2 -ffp-contract=off -I"$(python -c 'import sdfido; print(sdfido.get_include())')" mask.cpp -o mask
#include <sdfido/math/concrete.h>
#include <sdfido/math/philox.h>

#include <cstdio>

// Prints four samples of each of three cells, whose keep logit is 0.5: seed 0, step 0, temperature 0.2.
int main() {
  const float logit = 0.5f, temperature = 0.2f;
  const sdfido::PhiloxKey key{/*seed*/ 0, 0};
  for (uint64_t cell = 0; cell < 3; ++cell) {
    // counter: cell, stream, block of four samples, step
    uint64_t words[4] = {cell, sdfido::stream_word(/*stream*/ 0, /*masks*/ 1, /*mask*/ 0), 0, 0};
    sdfido::philox4x32_10(words[0], words[1], words[2], words[3], key, sdfido::ScalarLanes{});
    const float prepared = sdfido::prepare_logit<5>(logit);  // 5 = 1 / temperature
    for (uint64_t word : words) {
      const float odds = sdfido::odds_of_word<float>(static_cast<uint32_t>(word));
      std::printf("%.4f ", sdfido::mask_of_odds<5>(odds, prepared, 1 / temperature));
    }
    std::printf("\n");
  }
}
