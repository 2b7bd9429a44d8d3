// CUDA's barriers, shuffles, votes and bit functions for the host, under CUDA's names.
#pragma once

#include <bit>
#include <type_traits>

#include "cuda/emulation/machine.h"

namespace valora::emulation {

// A lane's part in a shuffle: its value, the lane it asks, and what it is given.
template <typename T>
struct Shuffled {
  T value;
  int source;  // a lane of the warp
  T result;
};

template <typename T>
T shuffle(uint32_t mask, T value, int source, Site site) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
  Shuffled<T> mine{value, source, value};
  collective(mask, site, &mine, [](const Operands& lanes) {
    ++meter().counters.shuffles;
    for (int lane = 0; lane < 32; ++lane) {
      if (lanes.of[lane] == nullptr) continue;
      auto& asking = lanes.at<Shuffled<T>>(lane);
      if (lanes.of[asking.source] == nullptr) {
        fail("a shuffle asks lane " + std::to_string(asking.source) + ", which is not in its mask");
      }
      asking.result = lanes.at<Shuffled<T>>(asking.source).value;
    }
  });
  return mine.result;
}

struct Ballot {
  bool vote;
  unsigned result;
};

inline unsigned ballot(uint32_t mask, bool vote, Site site) {
  Ballot mine{vote, 0};
  collective(mask, site, &mine, [](const Operands& lanes) {
    unsigned votes = 0;
    for (int lane = 0; lane < 32; ++lane) {
      if (lanes.of[lane] != nullptr && lanes.at<Ballot>(lane).vote) votes |= 1u << lane;
    }
    for (int lane = 0; lane < 32; ++lane) {
      if (lanes.of[lane] != nullptr) lanes.at<Ballot>(lane).result = votes;
    }
  });
  return mine.result;
}

// The lanes of the mask have seen all that each of them has, and what each does next is new.
inline void meet(uint32_t mask) {
  std::array<uint32_t, 32> joined{};
  for (int lane = 0; lane < 32; ++lane) {
    if ((mask >> lane & 1) == 0) continue;
    const Clocks& clocks = lane_of_this_warp(lane).clocks;
    for (int i = 0; i < 32; ++i) joined[i] = std::max(joined[i], clocks.seen[i]);
  }
  for (int lane = 0; lane < 32; ++lane) {
    if ((mask >> lane & 1) == 0) continue;
    lane_of_this_warp(lane).clocks.seen = joined;
    ++lane_of_this_warp(lane).clocks.seen[lane];
  }
}

}  // namespace valora::emulation

inline void __syncthreads(valora::emulation::Site site = valora::emulation::Site::current()) {
  valora::emulation::block_barrier(site);
}

inline void __syncwarp(unsigned mask = ~0u,
                       valora::emulation::Site site = valora::emulation::Site::current()) {
  using namespace valora::emulation;
  int nothing = 0;
  collective(mask, site, &nothing, [](const Operands& lanes) {
    ++meter().counters.warp_barriers;
    meet(lanes.mask);
  });
}

// Shuffles over the whole warp (CUDA's `width` is always 32 here). A lane past either end of the
// warp gets its own value back, as CUDA has it.
template <typename T>
T __shfl_sync(unsigned mask, T value, int source,
              valora::emulation::Site site = valora::emulation::Site::current()) {
  return valora::emulation::shuffle(mask, value, source & 31, site);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits,
                  valora::emulation::Site site = valora::emulation::Site::current()) {
  const int lane = valora::emulation::this_thread().lane;
  return valora::emulation::shuffle(mask, value, (lane ^ bits) & 31, site);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned distance,
                   valora::emulation::Site site = valora::emulation::Site::current()) {
  const int lane = valora::emulation::this_thread().lane;
  const int source = lane + static_cast<int>(distance);
  return valora::emulation::shuffle(mask, value, source > 31 ? lane : source, site);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance,
                 valora::emulation::Site site = valora::emulation::Site::current()) {
  const int lane = valora::emulation::this_thread().lane;
  const int source = lane - static_cast<int>(distance);
  return valora::emulation::shuffle(mask, value, source < 0 ? lane : source, site);
}

inline unsigned __ballot_sync(unsigned mask, int vote,
                              valora::emulation::Site site = valora::emulation::Site::current()) {
  return valora::emulation::ballot(mask, vote != 0, site);
}
inline int __any_sync(unsigned mask, int vote,
                      valora::emulation::Site site = valora::emulation::Site::current()) {
  return valora::emulation::ballot(mask, vote != 0, site) != 0;
}
inline int __all_sync(unsigned mask, int vote,
                      valora::emulation::Site site = valora::emulation::Site::current()) {
  return valora::emulation::ballot(mask, vote == 0, site) == 0;
}

inline int __popc(unsigned value) { return std::popcount(value); }
// The place of the lowest bit that is set, from 1; 0 where none is.
inline int __ffs(int value) {
  return value == 0 ? 0 : std::countr_zero(static_cast<unsigned>(value)) + 1;
}
inline unsigned __float_as_uint(float value) { return std::bit_cast<unsigned>(value); }
