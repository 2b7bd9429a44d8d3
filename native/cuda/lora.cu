// What is done to x before it is multiplied by a matrix: rounded into a copy [N, padded_cols(C)],
// and multiplied by the thin matrices of its rows' LoRA groups into t [N, max_rank] - by a [R, C]
// on the way forward (kA), by scale and b [C, R] on the way back (kB). All in float32: a lane sums
// every 32nd column of its warp's slices, then lanes are folded 16, 8, 4, 2, 1 and warps added in
// order, so that t[n] depends on row n and on the number of columns alone.
//
//   x [N, C] float32, rows may lie apart; copy and t overwritten, t with zeros where there is no
//   term
//
// A block takes kRows rows, its warps slices of kSlice columns in turn; x is read once, for the
// copy and for the first kLoraRanks ranks of the first group that its rows belong to. A group that
// ends within the block's rows is one more pass over them.
#include "cuda/lora.h"
#include "cuda/numbers.h"

namespace valora::cuda {

namespace {

constexpr int kBlock = 256;
constexpr int kResident = 1;  // as in product.cu: its sums and loads in flight need 170 registers
constexpr int kWarps = kBlock / kWarp;
constexpr int kRows = 4;
constexpr int kLaneCols = 4;
constexpr int kSlice = kLaneCols * kWarp;
constexpr int kSums = kRows * kLoraRanks;  // of a warp, two a lane when they have been folded

template <typename T>
struct Input {
  Rows<const float> x;
  int64_t first;  // row
  int64_t rows;
  int64_t cols;
  Global<T> copy;  // [rows, padded] or null
  int64_t padded;
};

// Ranks [rank, rank + kLoraRanks) of a thin matrix whose line c goes with x's column c.
struct Thin {
  Global<const float> data;
  int64_t stride;
  int rank;
  int ranks;  // of the matrix
};

// One pass over the block's rows: writes the copy, if kCopy; adds products with the thin matrix to
// the sums, if kLow.
template <typename T, bool kByRank, bool kCopy, bool kLow>
__device__ __forceinline__ void walk(float (&sums)[kSums], const Input<T>& in, const Thin& thin) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t end = kCopy ? in.padded : in.cols;
  for (int64_t begin = int64_t{warp} * kSlice; begin < end; begin += kWarps * kSlice) {
    float v[kRows][kLaneCols];
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
#pragma unroll
      for (int j = 0; j < kLaneCols; ++j) {
        const int64_t n = in.first + i, c = begin + j * kWarp + lane;
        v[i][j] = n < in.rows && c < in.cols ? load(in.x.row(n) + c) : 0.0f;
        if (kCopy && n < in.rows && c < in.padded) {
          store(in.copy + (n * in.padded + c), from_float<T>(v[i][j]));
        }
      }
    }
    if constexpr (kLow) {
#pragma unroll
      for (int r = 0; r < kLoraRanks; ++r) {
        if (thin.rank + r < thin.ranks) {
#pragma unroll
          for (int j = 0; j < kLaneCols; ++j) {
            const int64_t c = begin + j * kWarp + lane;
            float m = 0;
            if (c < in.cols) {
              m = load(thin.data + (kByRank ? (thin.rank + r) * thin.stride + c
                                            : c * thin.stride + thin.rank + r));
            }
#pragma unroll
            for (int i = 0; i < kRows; ++i) {
              sums[i * kLoraRanks + r] = fmaf(v[i][j], m, sums[i * kLoraRanks + r]);
            }
          }
        }
      }
    }
  }
}

// Adds sums over the warp's lanes: sums 2 l and 2 l + 1 end in places 0 and 1 of lane l. Each step
// keeps kCount sums and gives as many to the lane across. (Recursion, not a loop: every index has
// to be known to the compiler, or the sums leave the registers.)
template <int kCount = kSums / 2>
__device__ __forceinline__ void fold_over_lanes(float (&sums)[kSums]) {
  constexpr int kBit = kCount / 2;
  const bool upper = (threadIdx.x & kBit) != 0;
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const float given = upper ? sums[i] : sums[i + kCount];
    const float kept = upper ? sums[i + kCount] : sums[i];
    sums[i] = kept + __shfl_xor_sync(kAllLanes, given, kBit);
  }
  if constexpr (kCount > 2) fold_over_lanes<kCount / 2>(sums);
}

template <typename T, bool kByRank>
__global__ void __launch_bounds__(kBlock, kResident)
    prepare_rows_kernel(Rows<float> t, int64_t max_rank, Global<T> copy, int64_t padded,
                        Rows<const float> x, int64_t rows, int64_t cols,
                        Global<const LoraGroup> groups, int64_t group_count) {
  const Shared<float> partial = static_shared<struct Partial, float, kWarps * kSums>();
  const int thread = static_cast<int>(threadIdx.x);
  const Input<T> in{x, int64_t{blockIdx.x} * kRows, rows, cols, copy, padded};
  // Written over after a barrier below.
  for (int64_t i = thread; i < kRows * max_rank; i += kBlock) {
    const int64_t n = in.first + i / max_rank;
    if (n < rows) store(t.row(n) + i % max_rank, 0.0f);
  }
  bool copies = static_cast<bool>(copy);
  for (int64_t g = first_group(groups, group_count, in.first); g < group_count; ++g) {
    const auto group = load_as<LoraGroup>(groups + g);
    if (group.begin >= in.first + kRows) break;
    Thin thin{kByRank ? group.a : group.b, kByRank ? group.a_stride : group.b_stride, 0,
              group.rank};
    for (; thin.rank < group.rank; thin.rank += kLoraRanks) {
      float sums[kSums] = {};
      if (copies) {
        walk<T, kByRank, true, true>(sums, in, thin);
      } else {
        walk<T, kByRank, false, true>(sums, in, thin);
      }
      copies = false;
      fold_over_lanes(sums);
      store_as(partial + thread / kWarp * kSums + thread % kWarp * 2,
               make_float2(sums[0], sums[1]));
      __syncthreads();
      if (thread < kSums) {
        const int64_t n = in.first + thread / kLoraRanks;
        const int r = thin.rank + thread % kLoraRanks;
        if (n >= group.begin && n < group.begin + group.count && r < group.rank) {
          float sum = 0;
          for (int warp = 0; warp < kWarps; ++warp) sum += load(partial + warp * kSums + thread);
          store(t.row(n) + r, kByRank ? sum : group.scale * sum);
        }
      }
      __syncthreads();  // partial is free again
    }
  }
  if (copies) {
    float nothing[kSums];
    walk<T, kByRank, true, false>(nothing, in, Thin{});
  }
}

template <typename T, bool kByRank>
void start(void* copy, View t, View x, const DeviceLora& lora, Stream stream) {
  const dim3 grid(static_cast<unsigned>((x.rows + kRows - 1) / kRows));
  launch(prepare_rows_kernel<T, kByRank>, {"prepare_rows", grid, kBlock, 0, stream},
         Rows<float>{t.data, t.stride}, t.empty() ? int64_t{0} : t.cols, static_cast<T*>(copy),
         padded_cols(x.cols), Rows<const float>{x.data, x.stride}, x.rows, x.cols, lora.groups,
         lora.count);
}

}  // namespace

void prepare_rows(Dtype dtype, void* copy, View t, View x, const DeviceLora& lora, LoraSide side,
                  Stream stream) {
  const bool by_rank = side == LoraSide::kA;
  if (dtype == Dtype::kF32) {
    (by_rank ? start<float, true> : start<float, false>)(copy, t, x, lora, stream);
  } else {
    (by_rank ? start<__nv_bfloat16, true> : start<__nv_bfloat16, false>)(copy, t, x, lora, stream);
  }
}

}  // namespace valora::cuda
