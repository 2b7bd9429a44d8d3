// ldmatrix, mma.sync and cp.async as emulated, against tables written from PTX ISA 8.5's formulas
// (sections "ldmatrix" and "Matrix fragments for mma.m16n8k16 with floating point type"), element
// by element; and the mistakes that cp.async invites.
//
// Seen failing: .trans ignored; a's registers 1 and 2 exchanged; b's columns permuted; cp.async not
// marked as on its way, or not checked against earlier reads; wait_group off by one group.
#include <random>
#include <vector>

#include "support/emulated_kernel.h"

namespace valora::test {
namespace {

using namespace cuda;

uint16_t low(uint32_t pair) { return static_cast<uint16_t>(pair); }
uint16_t high(uint32_t pair) { return static_cast<uint16_t>(pair >> 16); }

// Shared memory holds kCount matrices one after the other, each number its own place; a lane's
// registers go to out[lane][register].
template <int kCount, bool kTransposed>
void ldmatrix_kernel(Global<uint32_t> out) {
  const Shared<__half> matrices = dynamic_shared<__half>();
  for (int i = thread_number(); i < 64 * kCount; i += kWarp) {
    store(matrices + i, {static_cast<uint16_t>(i)});
  }
  __syncwarp();
  uint32_t registers[kCount];
  ldmatrix<kCount, kTransposed>(registers, matrices + thread_number() % (8 * kCount) * 8);
  for (int i = 0; i < kCount; ++i) store(out + (thread_number() * kCount + i), registers[i]);
}

template <int kCount, bool kTransposed>
void expect_ldmatrix() {
  std::vector<uint32_t> out(32 * kCount);
  const auto record =
      run_kernel(ldmatrix_kernel<kCount, kTransposed>, {}, 1, 32, 128 * kCount, out.data());
  EXPECT_EQ(record.counters.ldmatrix, 1);
  for (int matrix = 0; matrix < kCount; ++matrix) {
    for (int row = 0; row < 8; ++row) {
      for (int column = 0; column < 8; ++column) {
        // PTX's figure: thread 4 row + column / 2 holds (row, column), the even column in the low
        // half; with .trans the matrix is loaded in column-major format.
        const int r = kTransposed ? column : row, c = kTransposed ? row : column;
        const uint32_t pair = out[(4 * r + c / 2) * kCount + matrix];
        EXPECT_EQ(c % 2 == 0 ? low(pair) : high(pair), 64 * matrix + 8 * row + column)
            << "matrix " << matrix << " row " << row << " column " << column;
      }
    }
  }
}

TEST(EmulatedTensor, LdmatrixGivesEachLaneWhatPtxSays) {
  expect_ldmatrix<1, false>();
  expect_ldmatrix<2, false>();
  expect_ldmatrix<4, false>();
  expect_ldmatrix<1, true>();
  expect_ldmatrix<2, true>();
  expect_ldmatrix<4, true>();
}

void ldmatrix_misaligned_kernel() {
  const Shared<__half> numbers = dynamic_shared<__half>();
  for (int i = thread_number(); i < 128; i += kWarp) store(numbers + i, {0});
  __syncwarp();
  uint32_t registers[1];
  ldmatrix<1, false>(registers, numbers + (thread_number() % 8 * 8 + 4));
}
void ldmatrix_unordered_kernel() {
  const Shared<__half> numbers = dynamic_shared<__half>();
  for (int i = thread_number(); i < 64; i += kWarp) store(numbers + i, {0});
  uint32_t registers[1];
  ldmatrix<1, false>(registers, numbers + thread_number() % 8 * 8);
}

TEST(EmulatedTensor, LdmatrixNeedsAlignedRowsAndABarrier) {
  expect_caught("misaligned: 16 bytes", ldmatrix_misaligned_kernel, 32, 256);
  expect_caught("race: ", ldmatrix_unordered_kernel, 32, 128);
}

template <typename T>
void mma_kernel(Global<float> d, Global<const uint32_t> a, Global<const uint32_t> b) {
  uint32_t left[4], right[2];
  float sums[4];
  for (int i = 0; i < 4; ++i) left[i] = load(a + (thread_number() * 4 + i));
  for (int i = 0; i < 2; ++i) right[i] = load(b + (thread_number() * 2 + i));
  for (int i = 0; i < 4; ++i) sums[i] = load(d + (thread_number() * 4 + i));
  mma<T>(sums, left, right);
  for (int i = 0; i < 4; ++i) store(d + (thread_number() * 4 + i), sums[i]);
}

// Where element i of a lane's fragment belongs, as PTX gives it for .f16 and .bf16: elements a0-a7
// of A, b0-b3 of B, c0-c3 of C and D; groupID = lane >> 2, threadID_in_group = lane % 4.
struct Place {
  int row, column;
};
Place a_place(int lane, int i) {
  const int group = lane >> 2, thread = lane % 4;
  return {(0 <= i && i < 2) || (4 <= i && i < 6) ? group : group + 8,
          i < 4 ? thread * 2 + (i & 1) : thread * 2 + (i & 1) + 8};
}
Place b_place(int lane, int i) {
  const int group = lane >> 2, thread = lane % 4;
  return {i < 2 ? thread * 2 + (i & 1) : thread * 2 + (i & 1) + 8, group};
}
Place c_place(int lane, int i) {
  const int group = lane >> 2, thread = lane % 4;
  return {i < 2 ? group : group + 8, thread * 2 + (i & 1)};
}

// Small whole numbers, which both formats and every sum hold exactly.
uint16_t encode(int value, bool half) {
  if (!half) return __float2bfloat16_rn(static_cast<float>(value)).bits;
  static constexpr uint16_t kHalves[] = {0x0000, 0x3c00, 0x4000, 0x4200, 0x4400};
  return static_cast<uint16_t>(kHalves[std::abs(value)] | (value < 0 ? 0x8000 : 0));
}

template <typename T>
void expect_mma(bool half) {
  std::mt19937 random(5);
  const auto draw = [&] { return static_cast<int>(random() % 9) - 4; };
  for (int round = 0; round < 10; ++round) {
    int a[16][16], b[16][8], c[16][8];
    for (auto& row : a) {
      for (int& value : row) value = draw();
    }
    for (auto& row : b) {
      for (int& value : row) value = draw();
    }
    for (auto& row : c) {
      for (int& value : row) value = 100 * draw();
    }
    std::vector<uint16_t> a_parts(32 * 8), b_parts(32 * 4);
    std::vector<float> d(32 * 4);
    for (int lane = 0; lane < 32; ++lane) {
      for (int i = 0; i < 8; ++i) {
        const Place at = a_place(lane, i);
        a_parts[lane * 8 + i] = encode(a[at.row][at.column], half);
      }
      for (int i = 0; i < 4; ++i) {
        const Place at = b_place(lane, i), out = c_place(lane, i);
        b_parts[lane * 4 + i] = encode(b[at.row][at.column], half);
        d[lane * 4 + i] = static_cast<float>(c[out.row][out.column]);
      }
    }
    std::vector<uint32_t> a_registers(32 * 4), b_registers(32 * 2);
    std::memcpy(a_registers.data(), a_parts.data(), a_parts.size() * 2);
    std::memcpy(b_registers.data(), b_parts.data(), b_parts.size() * 2);
    const auto record = run_kernel(mma_kernel<T>, {.seed = static_cast<uint64_t>(round)}, 1, 32, 0,
                                   d.data(), a_registers.data(), b_registers.data());
    EXPECT_EQ(record.counters.mma, 1);
    for (int lane = 0; lane < 32; ++lane) {
      for (int i = 0; i < 4; ++i) {
        const Place at = c_place(lane, i);
        int want = c[at.row][at.column];
        for (int k = 0; k < 16; ++k) want += a[at.row][k] * b[k][at.column];
        EXPECT_EQ(d[lane * 4 + i], want) << "row " << at.row << " column " << at.column;
      }
    }
  }
}

TEST(EmulatedTensor, MmaMultipliesFragmentsAsPtxLaysThemOut) {
  expect_mma<__nv_bfloat16>(false);
  expect_mma<__half>(true);
}

TEST(EmulatedTensor, SixteenBitNumbersConvertAsCudaConvertsThem) {
  EXPECT_EQ(__float2bfloat16_rn(1.0f).bits, 0x3f80);
  EXPECT_EQ(__float2bfloat16_rn(1.00390625f).bits, 0x3f80);    // a tie goes to the even
  EXPECT_EQ(__float2bfloat16_rn(1.01171875f).bits, 0x3f82);    // upwards too
  EXPECT_EQ(__float2bfloat16_rn(1.0039063692f).bits, 0x3f81);  // just above the tie
  EXPECT_EQ(__float2bfloat16_rn(3.4e38f).bits, 0x7f80);        // past the largest
  EXPECT_EQ(__float2bfloat16_rn(NAN).bits, 0x7fff);
  EXPECT_EQ(__bfloat162float({0xc040}), -3.0f);
  EXPECT_EQ(__half2float({0x3555}), 0x1.554p-2f);
  EXPECT_EQ(__half2float({0x0001}), 0x1p-24f);  // the smallest subnormal
  EXPECT_EQ(__half2float({0xfc00}), -INFINITY);
}

// Copies a quad a thread, group by group, and reads the first group's.
template <int kBytes, int kPending, bool kCommit = true, bool kBarrier = true>
void copy_kernel(Global<float> out, Global<const float> in, int to_offset, int from_offset,
                 int valid) {
  constexpr int kFloats = kBytes / 4;
  const Shared<float> buffer = dynamic_shared<float>();
  const int n = static_cast<int>(blockDim.x);
  for (int group = 0; group < 2; ++group) {
    const int i = (group * n + thread_number()) * kFloats;
    cp_async<kBytes>(buffer + (i + to_offset), in + (i + from_offset), valid);
    if constexpr (kCommit) cp_async_commit();
  }
  cp_async_wait<kPending>();
  if constexpr (kBarrier) __syncthreads();
  const int other = kBarrier ? n - 1 - thread_number() : thread_number();
  for (int i = 0; i < kFloats; ++i) {
    store(out + (thread_number() * kFloats + i), load(buffer + (other * kFloats + i + to_offset)));
  }
  cp_async_wait<0>();
}

TEST(EmulatedTensor, CpAsyncDeliversItsValidBytesAndZeros) {
  alignas(16) float in[2 * 64 * 4];
  for (int i = 0; i < 512; ++i) in[i] = static_cast<float>(i + 1);
  std::vector<float> out(64 * 4);
  expect_clean(copy_kernel<16, 1>, 64, 2 * 64 * 16, out.data(), in, 0, 0, 8);
  for (int i = 0; i < 256; ++i) {
    EXPECT_EQ(out[i], i % 4 < 2 ? in[(63 - i / 4) * 4 + i % 4] : 0.0f);
  }
  expect_clean(copy_kernel<8, 1>, 64, 2 * 64 * 8, out.data(), in, 0, 0, 8);
  for (int i = 0; i < 128; ++i) EXPECT_EQ(out[i], in[(63 - i / 2) * 2 + i % 2]);
  expect_clean(copy_kernel<4, 0>, 64, 2 * 64 * 4, out.data(), in, 0, 1, 4);
  for (int i = 0; i < 64; ++i) EXPECT_EQ(out[i], in[63 - i + 1]);
}

TEST(EmulatedTensor, ReadingWhatCpAsyncHasNotDeliveredIsCaught) {
  alignas(16) float in[2 * 64 * 4] = {};
  std::vector<float> out(64 * 4);
  expect_clean(copy_kernel<16, 1>, 64, 2048, out.data(), in, 0, 0, 16);
  expect_caught("is on its way", copy_kernel<16, 2>, 64, 2048, out.data(), in, 0, 0, 16);
  expect_caught("is on its way", copy_kernel<16, 0, false>, 64, 2048, out.data(), in, 0, 0, 16);
  // Its own copies a thread sees after its wait; others' only after a barrier.
  expect_clean(copy_kernel<16, 1, true, false>, 64, 2048, out.data(), in, 0, 0, 16);
}

void copy_without_barrier_kernel(Global<float> out, Global<const float> in) {
  const Shared<float> buffer = dynamic_shared<float>();
  cp_async<4>(buffer + thread_number(), in + thread_number());
  cp_async_commit();
  cp_async_wait<0>();
  store(out + thread_number(), load(buffer + (thread_number() ^ 32)));
}
void copy_over_readers_kernel(Global<float> out, Global<const float> in) {
  const Shared<float> buffer = dynamic_shared<float>();
  store(buffer + thread_number(), 1.0f);
  __syncthreads();
  store(out + thread_number(), load(buffer + (thread_number() ^ 32)));
  cp_async<4>(buffer + thread_number(), in + thread_number());
  cp_async_commit();
  cp_async_wait<0>();
}
// One warp reads what the other copies over.
void copy_over_other_warp_kernel(Global<float> out, Global<const float> in) {
  const auto number = static_shared<struct Copied, float, 1>();
  if (thread_number() == 0) store(number, 1.0f);
  __syncthreads();
  if (thread_number() < kWarp) {
    store(out + thread_number(), load(number));
  } else if (thread_number() == kWarp) {
    cp_async<4>(number, in);
    cp_async_commit();
    cp_async_wait<0>();
  }
}
void copy_and_leave_kernel(Global<const float> in) {
  cp_async<4>(dynamic_shared<float>() + thread_number(), in + thread_number());
}

TEST(EmulatedTensor, CpAsyncObeysBarriersLikeAnyWrite) {
  std::vector<float> in(64), out(64);
  // Too early it is on its way, later undelivered to this thread: the order says which.
  expect_caught("of shared memory", copy_without_barrier_kernel, 64, 256, out.data(), in.data());
  expect_caught("of shared memory", copy_over_readers_kernel, 64, 256, out.data(), in.data());
  expect_caught("race: ", copy_over_other_warp_kernel, 64, 0, out.data(), in.data());
  expect_caught("returns with a cp.async on its way", copy_and_leave_kernel, 64, 256, in.data());
}

TEST(EmulatedTensor, MisalignedCpAsyncIsCaughtOnBothSides) {
  alignas(16) float in[2 * 64 * 4 + 4] = {};
  std::vector<float> out(64 * 4);
  expect_caught("misaligned: a cp.async of 16 bytes of global memory", copy_kernel<16, 1>, 64, 2064,
                out.data(), in, 0, 2, 16);
  expect_caught("misaligned: 16 bytes at byte", copy_kernel<16, 1>, 64, 2064, out.data(), in, 1, 0,
                16);
  expect_caught("misaligned: a cp.async of 8 bytes of global memory", copy_kernel<8, 1>, 64, 2064,
                out.data(), in, 0, 1, 8);
}

// What a copy reads may change until it lands: at issue or at the wait, as the launch has it.
void late_kernel(Global<float> out, Global<float> in) {
  const Shared<float> buffer = dynamic_shared<float>();
  cp_async<4>(buffer, in);
  cp_async_commit();
  store(in, 2.0f);
  cp_async_wait<0>();
  store(out, load(buffer));
}

TEST(EmulatedTensor, CopiesLandAtIssueOrAtTheWaitByTheSeed) {
  int late = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    float in = 1, out = 0;
    run_kernel(late_kernel, {.seed = seed}, 1, 1, 4, &out, &in);
    late += out == 2;
  }
  EXPECT_GE(late, 4);
  EXPECT_LE(late, 16);
}

}  // namespace
}  // namespace valora::test
