// What kernels are written with. The same source is compiled by nvcc for a device and by any C++20
// compiler for the emulation, which checks and counts every access; on a device each accessor is a
// plain load or store.
//
//   Global<T>, Shared<T>            pointers; only the accessors look behind them
//   load(p), store(p, value)        one T
//   load_as<V>(p), store_as(p, v)   a V (float4, uint2 ...) at p, aligned to its size
//   dynamic_shared<T, n>()          the launch's shared memory, which is of n bytes; n is not
//   checked
//                                   where it is left out
//   static_shared<Tag, T, n>()      n T of shared memory of the block's own, one array a Tag
//   shared_cast<U>(p)               the same place as another type
//   atomic_add(p, value)            whole numbers
#pragma once

#include <cstdint>
#include <type_traits>

#ifndef __CUDACC__
#include "cuda/emulation/intrinsics.h"
#include "cuda/emulation/memory.h"
#else

#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace valora::cuda {

template <typename T>
using Global = T*;
template <typename T>
using Shared = T*;

template <typename V, typename T>
__device__ __forceinline__ V load_as(const T* p) {
  return *reinterpret_cast<const V*>(p);
}
template <typename V, typename T>
__device__ __forceinline__ void store_as(T* p, V value) {
  *reinterpret_cast<V*>(p) = value;
}
template <typename T>
__device__ __forceinline__ T load(const T* p) {
  return *p;
}
template <typename T>
__device__ __forceinline__ void store(T* p, std::type_identity_t<T> value) {
  *p = value;
}
template <typename T>
__device__ __forceinline__ T atomic_add(T* p, std::type_identity_t<T> value) {
  static_assert(std::is_integral_v<T>);
  return atomicAdd(p, value);
}

template <typename U, typename T>
__device__ __forceinline__ U* shared_cast(T* p) {
  return reinterpret_cast<U*>(p);
}
template <typename T, int kBytes = 0>
__device__ __forceinline__ T* dynamic_shared() {
  // ptxas does not know the size; scripts/compile-cuda.mjs reads it from the PTX.
  if constexpr (kBytes > 0) asm volatile("// dynamic shared memory: %0" ::"n"(kBytes));
  extern __shared__ uint4 valora_dynamic_shared[];
  return reinterpret_cast<T*>(valora_dynamic_shared);
}
template <typename Tag, typename T, int kCount>
__device__ __forceinline__ T* static_shared() {
  __shared__ alignas(16) T array[kCount];
  return array;
}

}  // namespace valora::cuda

#endif

namespace valora::cuda {

inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xffffffffu;

// A matrix as a kernel sees it: rows `stride` numbers apart.
template <typename T>
struct Rows {
  Global<T> data;
  int64_t stride;
  __device__ Global<T> row(int64_t n) const { return data + n * stride; }
};

}  // namespace valora::cuda
