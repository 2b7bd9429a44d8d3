// ldmatrix, mma.sync and cp.async for the host: the second body of cuda/ptx.h, which says what each
// does.
#pragma once

#include "cuda/emulation/intrinsics.h"
#include "cuda/emulation/memory.h"

namespace valora::emulation {

struct MatrixLoad {
  SharedBlock* block;
  const std::byte* row;
  uint32_t registers[4];
  Site site;
};
void load_matrices(const Operands& lanes, int count, bool transposed);

struct Product {
  float* d;           // [4]
  const uint32_t* a;  // [4]
  const uint32_t* b;  // [2]
};
// decode turns 16 bits into a number.
void multiply(const Operands& lanes, float (*decode)(uint16_t));

float decode_bfloat16(uint16_t bits);
float decode_half(uint16_t bits);

void begin_copy(SharedBlock& block, std::byte* to, const void* from, int bytes, int valid,
                Site site);
void wait_for_copies(uint32_t pending_groups);

}  // namespace valora::emulation

namespace valora::cuda {

template <int kCount, bool kTransposed, typename T>
void ldmatrix(uint32_t (&registers)[kCount], Shared<T> row,
              emulation::Site site = emulation::Site::current()) {
  static_assert(sizeof(T) == 2 && (kCount == 1 || kCount == 2 || kCount == 4));
  emulation::MatrixLoad mine{&row.block(), row.address(), {}, site};
  emulation::collective(~0u, site, &mine, [](const emulation::Operands& lanes) {
    emulation::load_matrices(lanes, kCount, kTransposed);
  });
  std::memcpy(registers, mine.registers, sizeof registers);
}

template <typename T>
void mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
         emulation::Site site = emulation::Site::current()) {
  static_assert(std::is_same_v<T, __half> || std::is_same_v<T, __nv_bfloat16>);
  emulation::Product mine{d, a, b};
  emulation::collective(~0u, site, &mine, [](const emulation::Operands& lanes) {
    emulation::multiply(
        lanes, std::is_same_v<T, __half> ? emulation::decode_half : emulation::decode_bfloat16);
  });
}

template <int kBytes, typename T, typename S>
void cp_async(Shared<T> to, Global<S> from, int valid = kBytes,
              emulation::Site site = emulation::Site::current()) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
  emulation::begin_copy(to.block(), to.address(), from.address(), kBytes, valid, site);
}
inline void cp_async_commit() { ++emulation::this_thread().committed; }
template <int kPending>
void cp_async_wait() {
  emulation::wait_for_copies(kPending);
}

}  // namespace valora::cuda
