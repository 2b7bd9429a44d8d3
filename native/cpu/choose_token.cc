#include "cpu/choose_token.h"

#include <algorithm>
#include <cmath>

namespace valora {

namespace {

struct Candidate {
  double weight;
  float logit;
  int32_t token;
};
static_assert(sizeof(Candidate) == 16);

bool ranks_before(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

// How many of `candidates` the shortest run in ranked order takes to reach `share` of their weight;
// those are then in front. Ranks no more of them than it must.
int64_t keep_share(Candidate* candidates, int64_t count, double share) {
  double all = 0;
  for (int64_t i = 0; i < count; ++i) all += candidates[i].weight;
  double run = 0;
  int64_t ranked = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (i == ranked) {
      ranked = std::min(count, std::max<int64_t>(256, ranked * 8));
      std::partial_sort(candidates + i, candidates + ranked, candidates + count, ranks_before);
    }
    run += candidates[i].weight;
    if (run >= share * all) return i + 1;
  }
  return count;
}

}  // namespace

int32_t choose_token(const float* logits, int64_t vocabulary, float largest,
                     const SampleParameters& parameters, float uniform, void* room) {
  Candidate* candidates = static_cast<Candidate*>(room);
  for (int64_t o = 0; o < vocabulary; ++o) {
    const double weight = std::exp((double{logits[o]} - largest) / parameters.temperature);
    candidates[o] = {weight, logits[o], static_cast<int32_t>(o)};
  }
  int64_t kept = vocabulary;
  if (parameters.top_k > 0 && parameters.top_k < kept) {
    kept = parameters.top_k;
    std::partial_sort(candidates, candidates + kept, candidates + vocabulary, ranks_before);
  }
  if (parameters.top_p < 1) kept = keep_share(candidates, kept, parameters.top_p);
  if (kept < vocabulary) {
    std::sort(candidates, candidates + kept,
              [](const Candidate& a, const Candidate& b) { return a.token < b.token; });
  }
  double total = 0;
  for (int64_t i = 0; i < kept; ++i) total += candidates[i].weight;
  double run = 0;
  for (int64_t i = 0; i < kept; ++i) {
    run += candidates[i].weight;
    if (run > uniform * total) return candidates[i].token;
  }
  return candidates[kept - 1].token;
}

}  // namespace valora
