// Philox against its authors' known answers, and the uniform numbers against what uniform means.
#include "core/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace valora {
namespace {

using Words = std::array<uint32_t, 4>;

// From kat_vectors of the authors' Random123 library, "philox4x32 10".
TEST(Random, EqualsThePublishedKnownAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const uint32_t ones = 0xffffffff;
  EXPECT_EQ(philox4x32({ones, ones, ones, ones}, {ones, ones}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Random, CounterWalksThroughTheWordsOfEachBlock) {
  const uint64_t seed = 0x0123456789abcdef;
  const uint64_t stream = 0xfedcba9876543210;
  for (const uint64_t block : {uint64_t{0}, uint64_t{5}, uint64_t{1} << 40}) {
    const Words words = philox4x32(
        {static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), 0x76543210, 0xfedcba98},
        {0x89abcdef, 0x01234567});
    for (uint64_t i = 0; i < 4; ++i) {
      EXPECT_EQ(random_bits(seed, stream, block * 4 + i), words[static_cast<size_t>(i)]);
    }
  }
}

TEST(Random, UniformNumbersLieInTheirIntervalWithTheRightMoments) {
  const int n = 1 << 20;
  double sum = 0;
  double squares = 0;
  for (int i = 0; i < n; ++i) {
    const float u = random_uniform(7, 3, static_cast<uint64_t>(i));
    ASSERT_GE(u, 0.0f);
    ASSERT_LT(u, 1.0f);
    sum += u;
    squares += static_cast<double>(u) * u;
  }
  // Five standard errors of the mean (1/sqrt(12 n)) and of the mean square (sqrt(4/45 / n)).
  EXPECT_NEAR(sum / n, 0.5, 5 * std::sqrt(1.0 / 12 / n));
  EXPECT_NEAR(squares / n, 1.0 / 3, 5 * std::sqrt(4.0 / 45 / n));
}

TEST(Random, SeedsAndStreamsGiveDifferentNumbers) {
  std::set<uint64_t> seen;
  for (uint64_t seed = 0; seed < 16; ++seed) {
    for (uint64_t stream = 0; stream < 16; ++stream) {
      seen.insert(uint64_t{random_bits(seed, stream, 0)} << 32 | random_bits(seed, stream, 1));
    }
  }
  EXPECT_EQ(seen.size(), 256u);
}

}  // namespace
}  // namespace valora
