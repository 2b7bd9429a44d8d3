// Philox4x32-10, a counter-based random generator: the n-th number of a stream is a function of
// (seed, stream, n) alone, so what is drawn does not depend on order, threads or machine. Salmon,
// Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
#pragma once

#include <array>
#include <cstdint>

namespace valora {

// The ten rounds: four random words from a 128-bit counter and a 64-bit key.
inline std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter,
                                          std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53u} * counter[0];
    const uint64_t b = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(a)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return counter;
}

// The `counter`-th word of stream `stream` under `seed`.
inline uint32_t random_bits(uint64_t seed, uint64_t stream, uint64_t counter) {
  const uint64_t block = counter / 4;
  return philox4x32({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
                     static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)},
                    {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)})[counter % 4];
}

// The same word as a number in [0, 1): a multiple of 2^-24, so that 1 is never reached by rounding.
inline float random_uniform(uint64_t seed, uint64_t stream, uint64_t counter) {
  return static_cast<float>(random_bits(seed, stream, counter) >> 8) * 0x1p-24f;
}

}  // namespace valora
