// product: out = left right + bias + low-rank terms, the sum in float32: of bfloat16 by the tensor
// cores, or of float32 by fused multiply-adds, k ascending (product.h says what the buffers are).
//
// A block of four warps computes kTileRows x 128 of out: 128 rows as two by two warps of 64 x 64,
// or, for at most 32 rows and in float32, 32 rows as four warps of 32 x 32 side by side. Slices of
// 64 bytes of depth come by cp.async through kStages buffers: while one is multiplied, the next two
// are on their way. For each 16 of depth a warp of 64 x 64 takes eight ldmatrix.x4 and issues 32
// mma: 4 an ldmatrix.
//
// A slice is made of chunks of 16 bytes. Along the depth a line (a row of left, a column of out) is
// four chunks, chunk c of line l at place c ^ (l / 2 % 4). Across it (right stored by depth) a line
// is one k and 128 columns, chunk c at place c ^ (l % 8). So the eight rows of an ldmatrix, and the
// eight chunks that a quarter warp stores, meet all 32 banks.
//
// Blocks walk down bands of kBandTiles tiles before they go on to the next columns, so that the
// blocks that run together share their slices of right, and left's, in the L2 cache.
//
// No split of the depth: out[n, m] depends on row n and column m alone, in either height of tile.
#include "cuda/lora.h"
#include "cuda/numbers.h"
#include "cuda/product.h"
#include "cuda/ptx.h"
#include "cuda/quad.h"

namespace valora::cuda {

namespace {

constexpr int kBlock = 128;
constexpr int kTileCols = 128;
// Blocks that a multiprocessor has to have room for. Where no number is stated, ptxas would rather
// spill some bytes than have one block less of them (here and in lora.cu and sample.cu).
constexpr int kResident = 2;
constexpr int kStages = 3;
constexpr int kChunkBytes = 16;
constexpr int kLineChunks = 4;  // of depth
constexpr int64_t kBandTiles = 16;

template <typename T>
constexpr int kChunk = kChunkBytes / sizeof(T);  // numbers in a chunk
template <typename T>
constexpr int kTileDepth = kLineChunks* kChunk<T>;
template <typename T>
constexpr int kAcrossChunks = kTileCols / kChunk<T>;

// How a tile is divided among the warps.
template <int kTileRows>
struct Tile {
  static constexpr int kWarpsAcross = kTileRows == 128 ? 2 : 4;
  static constexpr int kWarpRows = kTileRows / (kBlock / kWarp / kWarpsAcross);
  static constexpr int kWarpCols = kTileCols / kWarpsAcross;
  static constexpr int kRowFragments = kWarpRows / 16;
  static constexpr int kColFragments = kWarpCols / 8;
  static constexpr int kStageChunks = (kTileRows + kTileCols) * kLineChunks;
};

// A lane's part of a warp's sums: of fragment (i, j), numbers 0 and 1 are of row lane / 4 and
// columns 2 (lane % 4) and one on, numbers 2 and 3 of eight rows on.
template <int kTileRows>
using Sums = float[Tile<kTileRows>::kRowFragments][Tile<kTileRows>::kColFragments][4];

// Where a thread's part of the tile begins.
struct Corner {
  int row;   // of the warp, in the tile
  int col;   // likewise
  int lane;  // in the warp
};

__device__ __forceinline__ int along_place(int line, int chunk) {
  return line * kLineChunks + (chunk ^ (line >> 1 & 3));
}
template <typename T>
__device__ __forceinline__ int across_place(int line, int chunk) {
  return line * kAcrossChunks<T> + (chunk ^ (line & 7));
}

// A matrix in the numbers of the product: lines of `numbers`, `pitch` apart.
template <typename T>
struct Lines {
  Global<const T> data;
  int64_t pitch;
  int64_t lines;
  int64_t numbers;
};

// Begins to copy kLines lines from `line` on, and of each kChunks chunks from `number` on; zeros
// outside of m.
template <typename T, int kLines, int kChunks, bool kAcross>
__device__ __forceinline__ void begin_slice(Shared<T> slice, const Lines<T>& m, int line,
                                            int number) {
#pragma unroll
  for (int j = 0; j < kLines * kChunks / kBlock; ++j) {
    const int i = j * kBlock + static_cast<int>(threadIdx.x);
    const int l = i / kChunks, chunk = i % kChunks;
    const int from_line = line + l, from_number = number + chunk * kChunk<T>;
    const bool inside = from_line < m.lines && from_number < m.numbers;
    // An address outside is not read, but is to be one all the same.
    const int64_t from = inside ? int64_t{from_line} * m.pitch + from_number : 0;
    const int place = kAcross ? across_place<T>(l, chunk) : along_place(l, chunk);
    cp_async<kChunkBytes>(slice + place * kChunk<T>, m.data + from, inside ? kChunkBytes : 0);
  }
}

// Adds the products of a slice to the sums: by the tensor cores.
template <int kTileRows, bool kByDepth>
__device__ __forceinline__ void multiply_slice(Sums<kTileRows>& sums, Shared<__nv_bfloat16> left,
                                               Shared<__nv_bfloat16> right, const Corner& at) {
  using Shape = Tile<kTileRows>;
  constexpr int kNumbers = kChunk<__nv_bfloat16>;
#pragma unroll
  for (int step = 0; step < kTileDepth<__nv_bfloat16> / 16; ++step) {
    uint32_t a[Shape::kRowFragments][4];
    // Matrices of a: rows 0-7 and 8-15 at depth 0-7, then both at depth 8-15.
#pragma unroll
    for (int i = 0; i < Shape::kRowFragments; ++i) {
      const int row = at.row + i * 16 + at.lane % 16, chunk = step * 2 + at.lane / 16;
      ldmatrix<4, false>(a[i], left + along_place(row, chunk) * kNumbers);
    }
    // Matrices of b: columns 0-7 at depth 0-7 and 8-15, then columns 8-15 at both.
#pragma unroll
    for (int j = 0; j < Shape::kColFragments / 2; ++j) {
      uint32_t b[4];
      if constexpr (kByDepth) {
        const int k = step * 16 + at.lane % 16, chunk = (at.col + j * 16) / 8 + at.lane / 16;
        ldmatrix<4, true>(b, right + across_place<__nv_bfloat16>(k, chunk) * kNumbers);
      } else {
        const int col = at.col + j * 16 + at.lane / 16 * 8 + at.lane % 8;
        ldmatrix<4, false>(b, right + along_place(col, step * 2 + at.lane / 8 % 2) * kNumbers);
      }
#pragma unroll
      for (int i = 0; i < Shape::kRowFragments; ++i) {
        mma<__nv_bfloat16>(sums[i][2 * j], a[i], {b[0], b[1]});
        mma<__nv_bfloat16>(sums[i][2 * j + 1], a[i], {b[2], b[3]});
      }
    }
  }
}

__device__ __forceinline__ void spread(float (&to)[4], float4 from) {
  to[0] = from.x;
  to[1] = from.y;
  to[2] = from.z;
  to[3] = from.w;
}

// The same in float32, a chain for each sum.
template <int kTileRows, bool kByDepth>
__device__ __forceinline__ void multiply_slice(Sums<kTileRows>& sums, Shared<float> left,
                                               Shared<float> right, const Corner& at) {
  using Shape = Tile<kTileRows>;
  constexpr int kNumbers = kChunk<float>;
#pragma unroll
  for (int chunk = 0; chunk < kLineChunks; ++chunk) {
    float a[Shape::kRowFragments * 2][kNumbers];  // rows eight apart
#pragma unroll
    for (int i = 0; i < Shape::kRowFragments * 2; ++i) {
      const int row = at.row + i * 8 + at.lane / 4;
      spread(a[i], load_as<float4>(left + along_place(row, chunk) * kNumbers));
    }
#pragma unroll
    for (int j = 0; j < Shape::kColFragments; ++j) {
      const int col = at.col + j * 8 + at.lane % 4 * 2;
      float b[2][kNumbers];
      if constexpr (kByDepth) {
#pragma unroll
        for (int k = 0; k < kNumbers; ++k) {
          const int place = across_place<float>(chunk * kNumbers + k, col / kNumbers);
          const auto pair = load_as<float2>(right + (place * kNumbers + col % kNumbers));
          b[0][k] = pair.x;
          b[1][k] = pair.y;
        }
      } else {
        spread(b[0], load_as<float4>(right + along_place(col, chunk) * kNumbers));
        spread(b[1], load_as<float4>(right + along_place(col + 1, chunk) * kNumbers));
      }
#pragma unroll
      for (int i = 0; i < Shape::kRowFragments * 2; ++i) {
#pragma unroll
        for (int k = 0; k < kNumbers; ++k) {
          float* sum = &sums[i / 2][j][i % 2 * 2];
          sum[0] = fmaf(a[i][k], b[0][k], sum[0]);
          sum[1] = fmaf(a[i][k], b[1][k], sum[1]);
        }
      }
    }
  }
}

// What follows the sum.
struct Finish {
  Global<const float> bias;
  Rows<const float> low;
  Global<const LoraGroup> groups;
  int64_t group_count;
  Global<const float2> factors;
  bool add;
  bool pairs;  // whether out's columns can be stored two by two
};

// Adds the low-rank terms of the groups that have rows in this tile, kLoraRanks at a time. A row
// outside a group is left as it is, whatever the group's matrices hold.
template <int kTileRows, bool kByDepth>
__device__ __forceinline__ void add_low_terms(Sums<kTileRows>& sums, const Finish& finish,
                                              Shared<float> room, int64_t first_row,
                                              int64_t first_col, int64_t rows, int64_t cols,
                                              const Corner& at) {
  using Shape = Tile<kTileRows>;
  const Shared<float> low = room, high = room + kThinNumbers<kTileRows>;
  for (int64_t g = first_group(finish.groups, finish.group_count, first_row);
       g < finish.group_count; ++g) {
    const auto group = load_as<LoraGroup>(finish.groups + g);
    if (group.begin >= first_row + kTileRows) break;
    const Global<const float> matrix = kByDepth ? group.a : group.b;
    const int64_t stride = kByDepth ? group.a_stride : group.b_stride;
    const float scale = kByDepth ? 1.0f : group.scale;
    for (int rank = 0; rank < group.rank; rank += kLoraRanks) {
      __syncthreads();  // all are done with what the room held
      stage_thin<false, kTileRows, kBlock>(low, finish.low.data, finish.low.stride, first_row, rows,
                                           rank, group.rank);
      stage_thin<kByDepth, kTileCols, kBlock>(high, matrix, stride, first_col, cols, rank,
                                              group.rank);
      __syncthreads();
      const int ranks = group.rank - rank < kLoraRanks ? group.rank - rank : kLoraRanks;
#pragma unroll
      for (int i = 0; i < Shape::kRowFragments; ++i) {
        float term[Shape::kColFragments][4] = {};
        const int row = at.row + i * 16 + at.lane / 4;
        for (int r = 0; r < ranks; ++r) {
          const Shared<float> lows = low + r * kThinStride<kTileRows>;
          const float low0 = load(lows + row), low1 = load(lows + (row + 8));
#pragma unroll
          for (int j = 0; j < Shape::kColFragments; ++j) {
            const int col = at.col + j * 8 + at.lane % 4 * 2;
            const auto pair = load_as<float2>(high + (r * kThinStride<kTileCols> + col));
            term[j][0] = fmaf(low0, pair.x, term[j][0]);
            term[j][1] = fmaf(low0, pair.y, term[j][1]);
            term[j][2] = fmaf(low1, pair.x, term[j][2]);
            term[j][3] = fmaf(low1, pair.y, term[j][3]);
          }
        }
#pragma unroll
        for (int part = 0; part < 4; ++part) {
          const int64_t n = first_row + row + part / 2 * 8;
          if (n < group.begin || n >= group.begin + group.count) continue;
#pragma unroll
          for (int j = 0; j < Shape::kColFragments; ++j) {
            sums[i][j][part] = fmaf(scale, term[j][part], sums[i][j][part]);
          }
        }
      }
    }
  }
}

template <int kTileRows>
__device__ __forceinline__ void store_sums(const Sums<kTileRows>& sums, Rows<float> out,
                                           const Finish& finish, int first_row, int first_col,
                                           int64_t rows, int64_t cols, const Corner& at) {
  using Shape = Tile<kTileRows>;
  const bool reads = finish.add;
#pragma unroll
  for (int i = 0; i < Shape::kRowFragments; ++i) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t row = first_row + at.row + i * 16 + half * 8 + at.lane / 4;
      if (row >= rows) continue;
      float2 factors = make_float2(1, 1);
      if (finish.factors) factors = load_as<float2>(finish.factors + row);
      const auto finished = [&](float before, float sum) {
        return reads ? fmaf(factors.x, before, factors.y * sum) : factors.y * sum;
      };
#pragma unroll
      for (int j = 0; j < Shape::kColFragments; ++j) {
        const int64_t col = first_col + at.col + j * 8 + at.lane % 4 * 2;
        const Global<float> place = out.row(row) + col;
        const float* pair = &sums[i][j][half * 2];
        float2 before = make_float2(0, 0);
        if (finish.pairs && col + 1 < cols) {
          if (reads) before = load_as<float2>(place);
          store_as(place, make_float2(finished(before.x, pair[0]), finished(before.y, pair[1])));
          continue;
        }
        if (reads && col < cols) before.x = load(place);
        if (reads && col + 1 < cols) before.y = load(place + 1);
        if (col < cols) store(place, finished(before.x, pair[0]));
        if (col + 1 < cols) store(place + 1, finished(before.y, pair[1]));
      }
    }
  }
}

template <typename T, bool kByDepth, int kTileRows>
__global__ void __launch_bounds__(kBlock, kResident)
    product_kernel(Rows<float> out, int64_t rows, int64_t cols, Lines<T> left, Lines<T> right,
                   Finish finish) {
  using Shape = Tile<kTileRows>;
  constexpr int kNumbers = Shape::kStageChunks * kChunk<T>;
  static_assert(kStages * kNumbers * sizeof(T) >=
                (kThinNumbers<kTileRows> + kThinNumbers<kTileCols>)*sizeof(float));
  const auto stages = static_shared<struct Stages, T, kStages * kNumbers>();

  // Bands of kBandTiles tiles of rows; within a band down first.
  const int64_t tiles_down = (rows + kTileRows - 1) / kTileRows;
  const int64_t tiles_across = (cols + kTileCols - 1) / kTileCols;
  const int64_t band = blockIdx.x / (kBandTiles * tiles_across);
  const int64_t left_over = tiles_down - band * kBandTiles;
  const int64_t height = left_over < kBandTiles ? left_over : kBandTiles;
  const int64_t within = blockIdx.x % (kBandTiles * tiles_across);
  // Of 32 bits, as they are needed to the end: on sm_120 the high tile has no registers left.
  const auto first_row = static_cast<int>((band * kBandTiles + within % height) * kTileRows);
  const auto first_col = static_cast<int>(within / height * kTileCols);

  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const Corner at{.row = warp / Shape::kWarpsAcross * Shape::kWarpRows,
                  .col = warp % Shape::kWarpsAcross * Shape::kWarpCols,
                  .lane = static_cast<int>(threadIdx.x) % kWarp};
  const auto slices = static_cast<int>((left.numbers + kTileDepth<T> - 1) / kTileDepth<T>);

  const auto begin = [&](int slice) {
    if (slice < slices) {
      const Shared<T> stage = stages + slice % kStages * kNumbers;
      const Shared<T> second = stage + kTileRows * kTileDepth<T>;
      const int depth = slice * kTileDepth<T>;
      begin_slice<T, kTileRows, kLineChunks, false>(stage, left, first_row, depth);
      if constexpr (kByDepth) {
        begin_slice<T, kTileDepth<T>, kAcrossChunks<T>, true>(second, right, depth, first_col);
      } else {
        begin_slice<T, kTileCols, kLineChunks, false>(second, right, first_col, depth);
      }
    }
    cp_async_commit();  // an empty group too: the count of groups is the count of slices
  };

  Sums<kTileRows> sums = {};
  for (int slice = 0; slice < kStages - 1; ++slice) begin(slice);
  for (int slice = 0; slice < slices; ++slice) {
    cp_async_wait<kStages - 2>();
    // The slice is there for all, and all are done with the buffer that is filled next.
    __syncthreads();
    begin(slice + kStages - 1);
    const Shared<T> stage = stages + slice % kStages * kNumbers;
    multiply_slice<kTileRows, kByDepth>(sums, stage, stage + kTileRows * kTileDepth<T>, at);
  }

  if (finish.bias) {
#pragma unroll
    for (int j = 0; j < Shape::kColFragments; ++j) {
#pragma unroll
      for (int part = 0; part < 2; ++part) {
        const int64_t col = first_col + at.col + j * 8 + at.lane % 4 * 2 + part;
        const float bias = col < cols ? load(finish.bias + col) : 0.0f;
#pragma unroll
        for (int i = 0; i < Shape::kRowFragments; ++i) {
          sums[i][j][part] += bias;
          sums[i][j][part + 2] += bias;
        }
      }
    }
  }
  if (finish.group_count > 0) {
    add_low_terms<kTileRows, kByDepth>(sums, finish, shared_cast<float>(stages), first_row,
                                       first_col, rows, cols, at);
  }
  store_sums<kTileRows>(sums, out, finish, first_row, first_col, rows, cols, at);
}

template <typename T, bool kByDepth, int kTileRows>
void start(const char* name, const Product& p, Stream stream) {
  const View& out = p.out;
  const int64_t padded = padded_cols(p.depth);
  const Lines<T> left{static_cast<const T*>(p.left), p.left_pitch, out.rows, padded};
  const Lines<T> right{static_cast<const T*>(p.right), p.right_pitch, kByDepth ? p.depth : out.cols,
                       kByDepth ? p.right_pitch : padded};
  const Finish finish{p.bias,
                      {p.low.data, p.low.stride},
                      p.lora.groups,
                      p.lora.count,
                      p.factors,
                      p.write == Write::kAdd,
                      reinterpret_cast<uintptr_t>(out.data) % sizeof(float2) == 0 &&
                          (out.rows <= 1 || out.stride % 2 == 0)};
  const int64_t tiles =
      ((out.rows + kTileRows - 1) / kTileRows) * ((out.cols + kTileCols - 1) / kTileCols);
  launch(product_kernel<T, kByDepth, kTileRows>,
         {name, dim3(static_cast<unsigned>(tiles)), kBlock, 0, stream},
         Rows<float>{out.data, out.stride}, out.rows, out.cols, left, right, finish);
}

// Float32 has the low tile alone: its factors and 64 x 64 sums do not fit a thread's registers.
template <typename T, bool kByDepth>
void start_by_height(const char* name, const Product& p, Stream stream) {
  if constexpr (!std::is_same_v<T, float>) {
    if (p.out.rows > 32) return start<T, kByDepth, 128>(name, p, stream);
  }
  start<T, kByDepth, 32>(name, p, stream);
}

template <typename T>
void start_by_order(const char* name, const Product& p, Stream stream) {
  if (p.order == Product::Right::kByDepth) return start_by_height<T, true>(name, p, stream);
  start_by_height<T, false>(name, p, stream);
}

}  // namespace

void multiply(const char* name, const Product& product, Stream stream) {
  if (product.left_pitch % kLinearPad != 0 || product.right_pitch % kLinearPad != 0) {
    throw Error(ErrorCode::kInternal, std::string(name) + ": a matrix without padded rows");
  }
  if (product.dtype == Dtype::kF32) return start_by_order<float>(name, product, stream);
  if (product.dtype == Dtype::kBF16) return start_by_order<__nv_bfloat16>(name, product, stream);
  throw Error(ErrorCode::kInternal,
              std::string(name) + ": a weight that is neither bfloat16 nor float32");
}

}  // namespace valora::cuda
