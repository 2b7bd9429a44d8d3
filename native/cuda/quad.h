// Four neighbouring float32 of a row: one 16-byte access where rows are aligned to it, else up to
// four single ones. Which thread owns which number is the same either way, so a sum over a row does
// not depend on the alignment.
#pragma once

#include "core/view.h"
#include "cuda/device.h"

namespace valora::cuda {

inline constexpr int kQuad = 4;

// Numbers past `count` (of the row's end) are 0, and are not stored.
template <bool kAligned>
__device__ __forceinline__ float4 load_quad(Global<const float> p, int64_t count) {
  if constexpr (kAligned) return load_as<float4>(p);
  float4 v = make_float4(0, 0, 0, 0);
  if (count > 0) v.x = load(p);
  if (count > 1) v.y = load(p + 1);
  if (count > 2) v.z = load(p + 2);
  if (count > 3) v.w = load(p + 3);
  return v;
}

template <bool kAligned>
__device__ __forceinline__ void store_quad(Global<float> p, int64_t count, float4 v) {
  if constexpr (kAligned) {
    store_as(p, v);
    return;
  }
  if (count > 0) store(p, v.x);
  if (count > 1) store(p + 1, v.y);
  if (count > 2) store(p + 2, v.z);
  if (count > 3) store(p + 3, v.w);
}

template <typename Function>
__device__ __forceinline__ float4 map(Function f, float4 a, float4 b) {
  return make_float4(f(a.x, b.x), f(a.y, b.y), f(a.z, b.z), f(a.w, b.w));
}

// Whether every row, in pieces of `width`, starts on a multiple of 16 bytes and is whole quads.
inline bool quad_aligned(View view, int64_t width) {
  return reinterpret_cast<uintptr_t>(view.data) % 16 == 0 && width % kQuad == 0 &&
         (view.rows <= 1 || view.stride % kQuad == 0);
}

// Calls body(std::true_type) where all is aligned, else body(std::false_type).
template <typename Body>
void by_alignment(bool aligned, Body body) {
  if (aligned) {
    body(std::true_type());
  } else {
    body(std::false_type());
  }
}

template <typename T>
Rows<T> rows_of(View view) {
  return {view.data, view.stride};
}

}  // namespace valora::cuda
