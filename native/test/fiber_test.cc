// Fibers: switching, exceptions, stacks that are used again; built for both ways of switching.
//
// Seen failing: a new stack laid out one word off; failure_ not rethrown.
#include "cuda/emulation/fiber.h"

#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

namespace valora::emulation {
namespace {

TEST(Fiber, RunsInPiecesAndKeepsItsStack) {
  std::vector<int> seen;
  Fiber fiber;
  fiber.start(
      [](void* argument) {
        auto& list = *static_cast<std::vector<int>*>(argument);
        for (int i = 0; i < 5; ++i) {
          list.push_back(i);
          Fiber::wait();
        }
      },
      &seen);
  for (int i = 0; i < 5; ++i) {
    EXPECT_FALSE(fiber.done());
    fiber.resume();
    seen.push_back(100);
  }
  fiber.resume();
  EXPECT_TRUE(fiber.done());
  EXPECT_EQ(seen, (std::vector<int>{0, 100, 1, 100, 2, 100, 3, 100, 4, 100}));
}

TEST(Fiber, ManyTakeTurnsWithNumbersInRegisters) {
  struct Sum {
    double value = 0;
    Fiber fiber;
  };
  std::vector<Sum> sums(50);
  for (Sum& sum : sums) {
    sum.fiber.start(
        [](void* argument) {
          auto& mine = *static_cast<Sum*>(argument);
          double value = 1;
          alignas(32) double spilled[4] = {1, 2, 3, 4};
          for (int i = 0; i < 100; ++i) {
            value = std::sqrt(value + spilled[i % 4]);
            Fiber::wait();
          }
          mine.value = value;
        },
        &sum);
  }
  for (int turn = 0; turn < 101; ++turn) {
    for (Sum& sum : sums) sum.fiber.resume();
  }
  double want = 1;
  for (int i = 0; i < 100; ++i) want = std::sqrt(want + i % 4 + 1);
  for (const Sum& sum : sums) EXPECT_EQ(sum.value, want);
}

TEST(Fiber, WhatItThrowsIsThrownByResume) {
  Fiber fiber;
  for (int round = 0; round < 2; ++round) {
    fiber.start(
        [](void*) {
          Fiber::wait();
          throw std::runtime_error("thrown on another stack");
        },
        nullptr);
    fiber.resume();
    EXPECT_THROW(fiber.resume(), std::runtime_error);
    EXPECT_TRUE(fiber.done());
  }
}

TEST(Fiber, OneThatWasGivenUpStartsAgain) {
  int count = 0;
  Fiber fiber;
  const auto body = [](void* argument) {
    char text[256];
    std::snprintf(text, sizeof text, "%d", 7);
    Fiber::wait();
    *static_cast<int*>(argument) += std::stoi(text);
  };
  fiber.start(body, &count);
  fiber.resume();
  fiber.start(body, &count);
  fiber.resume();
  fiber.resume();
  EXPECT_TRUE(fiber.done());
  EXPECT_EQ(count, 7);
}

}  // namespace
}  // namespace valora::emulation
