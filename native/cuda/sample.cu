// sample: a next token for each row of x [N, C], by the rule of core/ops.h, without sorting.
//
// A token's weight exp((logit - largest) / temperature) is computed in double and kept as a whole
// number of units, of which the largest logit's weight has so many that V of them fit 63 bits: 2^46
// for 131,072 tokens. Sums of whole numbers are exact in any order; so what many threads add
// together with atomics is the same every time.
//
// Tokens are ranked by a number: the logit's bits, put in order, above the complement of the index.
// The k-th best, the end of the shortest run that reaches top_p, and the token that the draw falls
// on are all one question: at which key, from the largest down, does a running sum of some measure
// reach what is wanted. It is answered digit by digit, eight bits at a time, by a histogram of the
// keys that share the digits found before.
//
//   tokens, logprobs [N] overwritten; uniform [N] in [0, 1)
#include <cmath>
#include <string>

#include "cuda/head.h"
#include "cuda/lora.h"
#include "cuda/product.h"

namespace valora::cuda {

namespace {

using Whole = unsigned long long;  // what CUDA's atomics take

constexpr int kBlock = 256;
constexpr int kResident = 4;  // as in product.cu; a block a row, so there are few
constexpr int kWarps = kBlock / kWarp;
constexpr int kDigitBits = 8;
constexpr int kDigits = 1 << kDigitBits;
constexpr int kLaneDigits = kDigits / kWarp;
constexpr int kIndexBits = 24;
constexpr Whole kLastIndex = (Whole{1} << kIndexBits) - 1;
constexpr int kRankDigits = (32 + kIndexBits) / kDigitBits;
constexpr int kIndexDigits = kIndexBits / kDigitBits;
static_assert(kBlock == kDigits);

// Larger for what ranks before: a larger logit, or an equal one at a smaller index.
__device__ __forceinline__ Whole rank_of(float logit, int64_t index) {
  const unsigned bits = __float_as_uint(logit + 0.0f);  // -0 is 0
  const unsigned ordered = (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
  return static_cast<Whole>(ordered) << kIndexBits | (kLastIndex - static_cast<Whole>(index));
}

// The block's shared memory.
struct Room {
  Shared<Whole> bins;     // [kDigits], see bin_place
  Shared<Whole> found;    // [2]
  Shared<Whole> partial;  // [kWarps]
};

// Digits from the largest down, kLaneDigits of them to a lane, side by side for the lanes.
__device__ __forceinline__ int bin_place(int digit) {
  const int place = kDigits - 1 - digit;
  return place % kLaneDigits * kWarp + place / kLaneDigits;
}

// Among the digits in the bins, the one from the largest down at which the sum reaches `wanted`,
// appended to `prefix`, and what of `wanted` the digits before it leave: into room.found. By a
// warp.
__device__ __forceinline__ void find_digit(const Room& room, Whole prefix, Whole wanted) {
  const int lane = static_cast<int>(threadIdx.x);
  Whole own[kLaneDigits], sum = 0;
#pragma unroll
  for (int j = 0; j < kLaneDigits; ++j) {
    own[j] = load(room.bins + (j * kWarp + lane));
    sum += own[j];
  }
  Whole up_to = sum;
  for (int distance = 1; distance < kWarp; distance *= 2) {
    const Whole other = __shfl_up_sync(kAllLanes, up_to, static_cast<unsigned>(distance));
    if (lane >= distance) up_to += other;
  }
  const unsigned reached = __ballot_sync(kAllLanes, up_to >= wanted);
  if (lane != (reached == 0 ? kWarp - 1 : __ffs(static_cast<int>(reached)) - 1)) return;
  // The first of the lane's digits that reaches it; its last where none does.
  Whole before = up_to - sum;
  int place = 0;
#pragma unroll
  for (int j = 0; j < kLaneDigits - 1; ++j) {
    if (place == j && before + own[j] < wanted) {
      before += own[j];
      ++place;
    }
  }
  const int digit = kDigits - 1 - (lane * kLaneDigits + place);
  store(room.found, prefix << kDigitBits | static_cast<Whole>(digit));
  store(room.found + 1, wanted - before);
}

// The largest key of which: the measures of entries with that key or a larger one sum to `wanted`
// or more. Keys have `digits` digits; an entry of measure 0 does not count.
template <typename Key, typename Measure>
__device__ __forceinline__ Whole reach(const Room& room, int64_t count, int digits, Whole wanted,
                                       Key key, Measure measure) {
  const int thread = static_cast<int>(threadIdx.x);
  Whole prefix = 0;
  for (int digit = digits - 1; digit >= 0; --digit) {
    store(room.bins + thread, Whole{0});
    __syncthreads();
    for (int64_t i = thread; i < count; i += kBlock) {
      const Whole k = key(i);
      if (k >> (kDigitBits * digit + kDigitBits) != prefix) continue;
      const Whole amount = measure(i);
      if (amount == 0) continue;
      const auto place = static_cast<int>(k >> (kDigitBits * digit) & (kDigits - 1));
      atomic_add(room.bins + bin_place(place), amount);
    }
    __syncthreads();
    if (thread < kWarp) find_digit(room, prefix, wanted);
    __syncthreads();
    prefix = load(room.found);
    wanted = load(room.found + 1);
  }
  return prefix;
}

// The sum of all measures, for all threads.
template <typename Measure>
__device__ __forceinline__ Whole total_of(const Room& room, int64_t count, Measure measure) {
  const int thread = static_cast<int>(threadIdx.x);
  Whole sum = 0;
  for (int64_t i = thread; i < count; i += kBlock) sum += measure(i);
  for (int bits = kWarp / 2; bits > 0; bits /= 2) sum += __shfl_xor_sync(kAllLanes, sum, bits);
  if (thread % kWarp == 0) store(room.partial + thread / kWarp, sum);
  __syncthreads();
  sum = 0;
  for (int warp = 0; warp < kWarps; ++warp) sum += load(room.partial + warp);
  return sum;
}

__global__ void __launch_bounds__(kBlock)
    sample_weights_kernel(Global<Whole> weights, Rows<const float> logits,
                          Global<const HeadState> states, int64_t vocabulary, double temperature,
                          double units, int64_t blocks_a_row) {
  const int64_t row = blockIdx.x / blocks_a_row;
  const int64_t i = blockIdx.x % blocks_a_row * kBlock + threadIdx.x;
  if (i >= vocabulary) return;
  const double largest = load_as<HeadState>(states + row).largest;
  const double logit = load(logits.row(row) + i);
  const double weight = exp((logit - largest) / temperature);
  store(weights + (row * vocabulary + i),
        weight >= 0 ? static_cast<Whole>(weight * units + 0.5) : Whole{0});  // NaN weighs nothing
}

// A block a row.
__global__ void __launch_bounds__(kBlock, kResident)
    sample_kernel(Global<int32_t> tokens, Global<double> logprobs, Rows<const float> logits,
                  Global<const Whole> weights, Global<const HeadState> states,
                  Global<const float> uniform, int64_t vocabulary, int top_k, double top_p) {
  const Room room{static_shared<struct Bins, Whole, kDigits>(),
                  static_shared<struct Found, Whole, 2>(),
                  static_shared<struct Partial, Whole, kWarps>()};
  const int64_t row = blockIdx.x;
  const auto state = load_as<HeadState>(states + row);
  const Global<const float> mine = logits.row(row);
  int64_t token = state.argmax;
  if (weights) {
    const Global<const Whole> weight = weights + row * vocabulary;
    const auto rank = [&](int64_t i) { return rank_of(load(mine + i), i); };
    Whole last = 0;  // the rank of the last that stays
    const auto kept = [&](int64_t i) { return rank(i) >= last ? load(weight + i) : Whole{0}; };
    if (top_k > 0 && top_k < vocabulary) {
      last = reach(room, vocabulary, kRankDigits, static_cast<Whole>(top_k), rank,
                   [](int64_t) { return Whole{1}; });
    }
    if (top_p < 1) {
      const auto wanted =
          static_cast<Whole>(ceil(top_p * static_cast<double>(total_of(room, vocabulary, kept))));
      last = reach(room, vocabulary, kRankDigits, wanted, rank, kept);
    }
    const Whole total = total_of(room, vocabulary, kept);
    // The first token at which the sum exceeds the draw. (All logits NaN: none has a weight.)
    if (total > 0) {
      const double draw = static_cast<double>(load(uniform + row)) * static_cast<double>(total);
      token = static_cast<int64_t>(
          kLastIndex - reach(
                           room, vocabulary, kIndexDigits, static_cast<Whole>(draw) + 1,
                           [](int64_t i) { return kLastIndex - static_cast<Whole>(i); }, kept));
    }
  }
  if (threadIdx.x == 0) {
    store(tokens + row, static_cast<int32_t>(token));
    // In head_finish's order: what is sampled has the bits that scoring gives it.
    const double normaliser = static_cast<double>(state.largest) + log(state.total);
    store(logprobs + row, static_cast<double>(load(mine + token)) - normaliser);
  }
}

struct Scratch {
  void* copy;     // x in w's numbers
  float* logits;  // [rows, stride]
  int64_t stride;
  Whole* weights;  // [rows, V]
  HeadState* states;
  int64_t bytes;

  Scratch(void* base, int64_t rows, const DeviceWeight& w) : stride(padded_cols(w.rows)) {
    ScratchParts parts(base);
    copy = parts.take<void>(padded_bytes(w.dtype, rows, w.cols));
    logits = parts.take<float>(rows * stride * 4);
    weights = parts.take<Whole>(rows * w.rows * int64_t{sizeof(Whole)});
    states = parts.take<HeadState>(rows * int64_t{sizeof(HeadState)});
    bytes = parts.bytes();
  }
};

}  // namespace

int64_t sample_bytes(int64_t rows, const DeviceWeight& w) {
  return Scratch(nullptr, rows, w).bytes;
}

void sample(int32_t* tokens, double* logprobs, View x, const DeviceWeight& w,
            const SampleParameters& parameters, const float* uniform, void* scratch, Stream stream,
            int64_t step) {
  if (w.rows > int64_t{1} << kIndexBits) {
    throw Error(ErrorCode::kInvalidArgument, "sample: " + std::to_string(w.rows) +
                                                 " tokens, the CUDA backend has at most 2^" +
                                                 std::to_string(kIndexBits));
  }
  const Scratch room(scratch, x.rows, w);
  const View logits{room.logits, x.rows, w.rows, room.stride, x.space};
  const Rows<const float> rows{logits.data, logits.stride};
  prepare_rows(w.dtype, room.copy, {}, x, {}, LoraSide::kA, stream);
  multiply("sample_logits",
           {.out = logits,
            .left = room.copy,
            .left_pitch = padded_cols(x.cols),
            .right = w.data,
            .right_pitch = w.cols,
            .depth = x.cols,
            .dtype = w.dtype},
           stream);
  take_in(room.states, {logits, 0, w.rows, step}, stream);
  const bool draws = parameters.temperature > 0;
  if (draws) {
    const int64_t blocks_a_row = (w.rows + kBlock - 1) / kBlock;
    launch(
        sample_weights_kernel,
        {"sample_weights", dim3(static_cast<unsigned>(x.rows * blocks_a_row)), kBlock, 0, stream},
        room.weights, rows, room.states, w.rows, parameters.temperature, sample_units(w.rows),
        blocks_a_row);
  }
  launch(sample_kernel, {"sample", dim3(static_cast<unsigned>(x.rows)), kBlock, 0, stream}, tokens,
         logprobs, rows, draws ? room.weights : nullptr, room.states, uniform, w.rows,
         parameters.top_k, parameters.top_p);
}

}  // namespace valora::cuda
