// The PTX instructions that have no CUDA C++ name - ldmatrix, mma.sync, cp.async - once as assembly
// and once emulated (emulation/tensor.h). All are of sm_80, so every architecture that is built for
// has them. Layouts: PTX ISA 8.5, "Matrix fragments for mma.m16n8k16" and "ldmatrix".
#pragma once

#include "cuda/device.h"

#ifndef __CUDACC__
#include "cuda/emulation/tensor.h"
#else

namespace valora::cuda {

// kCount (1, 2 or 4) 8 x 8 matrices of 16-bit numbers: lane 8 i + r gives the address of row r of
// matrix i, 16-byte aligned; register i receives this lane's two numbers of matrix i. All 32 lanes.
template <int kCount, bool kTransposed, typename T>
__device__ __forceinline__ void ldmatrix(uint32_t (&registers)[kCount], Shared<T> row) {
  static_assert(sizeof(T) == 2 && (kCount == 1 || kCount == 2 || kCount == 4));
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
#define VALORA_LDMATRIX(form, outputs, ...)                                                  \
  if constexpr (kTransposed) {                                                               \
    asm volatile("ldmatrix.sync.aligned.m8n8." form ".trans.shared.b16 " outputs:__VA_ARGS__ \
                 : "r"(address)                                                              \
                 : "memory");                                                                \
  } else {                                                                                   \
    asm volatile("ldmatrix.sync.aligned.m8n8." form ".shared.b16 " outputs:__VA_ARGS__       \
                 : "r"(address)                                                              \
                 : "memory");                                                                \
  }
  if constexpr (kCount == 1) {
    VALORA_LDMATRIX("x1", "{%0}, [%1];", "=r"(registers[0]))
  } else if constexpr (kCount == 2) {
    VALORA_LDMATRIX("x2", "{%0, %1}, [%2];", "=r"(registers[0]), "=r"(registers[1]))
  } else {
    VALORA_LDMATRIX("x4", "{%0, %1, %2, %3}, [%4];", "=r"(registers[0]), "=r"(registers[1]),
                    "=r"(registers[2]), "=r"(registers[3]))
  }
#undef VALORA_LDMATRIX
}

// d[16, 8] += a[16, 16] b[16, 8], a and b of T (bfloat16 or half), d of float32. All 32 lanes.
template <typename T>
__device__ __forceinline__ void mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#define VALORA_MMA(type)                                                              \
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." type "." type                 \
               ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};" \
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                       \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  if constexpr (std::is_same_v<T, __half>) {
    VALORA_MMA("f16")
  } else {
    static_assert(std::is_same_v<T, __nv_bfloat16>);
    VALORA_MMA("bf16")
  }
#undef VALORA_MMA
}

// Begins to copy kBytes (4, 8 or 16, both sides aligned to them), of which the first `valid` are
// read and the others become 0. They are there for this thread after cp_async_wait, and for others
// after a barrier besides.
template <int kBytes, typename T, typename S>
__device__ __forceinline__ void cp_async(Shared<T> to, Global<S> from, int valid = kBytes) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(to));
  if constexpr (kBytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from),
                 "r"(valid)
                 : "memory");
  } else {
    static_assert(kBytes == 4 || kBytes == 8);
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(address), "l"(from),
                 "n"(kBytes), "r"(valid)
                 : "memory");
  }
}
// Closes a group of this thread's copies.
__device__ __forceinline__ void cp_async_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
// Waits until at most kPending of this thread's latest groups are on their way.
template <int kPending>
__device__ __forceinline__ void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

}  // namespace valora::cuda

#endif
