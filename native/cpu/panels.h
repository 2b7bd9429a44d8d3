// PanelWeight: a stored matrix rearranged once, at upload, into the panels that products read.
//
// A panel is kPanel rows of W [O, I] side by side, so that the sixteen numbers of a vector lie next
// to each other and following columns follow in memory: no shuffles, no far jumps, whatever the
// format. Numbers keep their stored bits; scales keep theirs beside them. Rows that the last panel
// lacks are 0. A panel goes by granules of 32 columns; of P = kPanel rows a granule holds
//   F32         [32, P] floats
//   F16         [32, P] halves
//   BF16        [16, P, 2] halves: columns 2 b and 2 b + 1 together
//   Q8_0        d [P] halves, [32, P] signed bytes
//   Q4_0        d [P] halves, [16, P] bytes: column 2 b in the low nibble, 2 b + 1 in the high one
//   Q4_1        d, m [P] halves, nibbles as in Q4_0
//   Q4_K        scale, minimum [P] bytes, nibbles as in Q4_0; eight granules, a block of the
//               stored format, follow d, dmin [P] halves
// Other formats have no panels, and their rows are read where they are stored (expand.h).
#pragma once

#include "core/weight.h"
#include "cpu/simd.h"

namespace valora::VALORA_ISA {

// Columns of a panel's registers. 64 leaves 8 of AVX-512's 32 registers for b and a beside 6 rows
// of sums (gemm.h); 16 leaves 4 of AVX2's 16.
#if defined(__AVX512F__)
inline constexpr int64_t kPanel = 64;
#else
inline constexpr int64_t kPanel = 16;
#endif
inline constexpr int kPanelVectors = kPanel / kVector;
inline constexpr int64_t kGranule = 32;

struct PanelWeight final : Weight {
  Pages pages;  // [ceil(O / kPanel)] panels, or none
  int64_t panel_bytes = 0;

  ~PanelWeight() override;
  bool has_panels() const { return panel_bytes != 0; }
  // The panel whose first row is `row`, a multiple of kPanel.
  const uint8_t* panel(int64_t row) const { return pages.data() + row / kPanel * panel_bytes; }
};

// body.template operator()<dtype>() for a dtype that has panels; nothing for the others.
template <typename Body>
VALORA_INLINE void with_panel_format(Dtype dtype, const Body& body) {
  switch (dtype) {
    case Dtype::kF32:
      body.template operator()<Dtype::kF32>();
      break;
    case Dtype::kF16:
      body.template operator()<Dtype::kF16>();
      break;
    case Dtype::kBF16:
      body.template operator()<Dtype::kBF16>();
      break;
    case Dtype::kQ4_0:
      body.template operator()<Dtype::kQ4_0>();
      break;
    case Dtype::kQ4_1:
      body.template operator()<Dtype::kQ4_1>();
      break;
    case Dtype::kQ8_0:
      body.template operator()<Dtype::kQ8_0>();
      break;
    case Dtype::kQ4_K:
      body.template operator()<Dtype::kQ4_K>();
      break;
    default:
      break;
  }
}

// Bytes that 32 columns of one row take in a panel of format D, headers of longer blocks left out.
template <Dtype D>
inline constexpr int64_t kGranuleBytes = D == Dtype::kF32                        ? 128
                                         : D == Dtype::kF16 || D == Dtype::kBF16 ? 64
                                         : D == Dtype::kQ8_0                     ? 34
                                         : D == Dtype::kQ4_1                     ? 20
                                                                                 : 18;
inline constexpr int64_t kBlockGranules = 8;  // of Q4_K
inline constexpr int64_t kBlockHeader = 4;    // bytes a row

// Where granule g of a panel begins, from the panel's start.
template <Dtype D>
VALORA_INLINE int64_t granule_offset(int64_t g) {
  int64_t bytes = g * kGranuleBytes<D>;
  if (D == Dtype::kQ4_K) bytes += (g / kBlockGranules + 1) * kBlockHeader;
  return bytes * kPanel;
}

// visit(k, v, numbers) for each of the granule's first `count` columns k, ascending, and each
// vector v of the panel's rows: the float32 values that core/dequantize.cc defines. Scales of at
// most 17 bits times numbers of 4 bits are exact, so fma rounds as the definition's product and sum
// do. `count` matters to formats without blocks only.
template <Dtype D, typename Visit>
VALORA_INLINE void visit_granule(const uint8_t* panel, int64_t g, int64_t count,
                                 const Visit& visit) {
  const uint8_t* at = panel + granule_offset<D>(g);
  if constexpr (D == Dtype::kF32 || D == Dtype::kF16) {
    constexpr int64_t size = D == Dtype::kF32 ? 4 : 2;
    for (int64_t k = 0; k < count; ++k) {
#pragma GCC unroll 4
      for (int v = 0; v < kPanelVectors; ++v) {
        const uint8_t* p = at + (k * kPanel + v * kVector) * size;
        if constexpr (D == Dtype::kF32) {
          visit(k, v, load(reinterpret_cast<const float*>(p)));
        } else {
          visit(k, v, from_f16(p));
        }
      }
    }
  } else if constexpr (D == Dtype::kBF16) {
    for (int64_t k = 0; k < count; k += 2) {
      F16 even[kPanelVectors], odd[kPanelVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kPanelVectors; ++v) {
        from_bf16_pairs(at + k * kPanel * 2 + v * kVector * 4, &even[v], &odd[v]);
      }
#pragma GCC unroll 4
      for (int v = 0; v < kPanelVectors; ++v) visit(k, v, even[v]);
      if (k + 1 == count) break;
#pragma GCC unroll 4
      for (int v = 0; v < kPanelVectors; ++v) visit(k + 1, v, odd[v]);
    }
  } else if constexpr (D == Dtype::kQ8_0) {
    F16 d[kPanelVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kPanelVectors; ++v) d[v] = from_f16(at + v * kVector * 2);
    const uint8_t* numbers = at + 2 * kPanel;
    for (int64_t k = 0; k < kGranule; ++k) {
#pragma GCC unroll 4
      for (int v = 0; v < kPanelVectors; ++v) {
        visit(k, v, mul(from_i8(numbers + k * kPanel + v * kVector), d[v]));
      }
    }
  } else {
    F16 scale[kPanelVectors], minimum[kPanelVectors] = {};
    const uint8_t* numbers = at + kPanel * (D == Dtype::kQ4_0 ? 2 : D == Dtype::kQ4_1 ? 4 : 2);
#pragma GCC unroll 4
    for (int v = 0; v < kPanelVectors; ++v) {
      const int64_t lane = v * kVector;
      if constexpr (D == Dtype::kQ4_K) {
        const uint8_t* header =
            panel + granule_offset<D>(g / kBlockGranules * kBlockGranules) - kBlockHeader * kPanel;
        scale[v] = mul(from_f16(header + lane * 2), from_i8(at + lane));
        minimum[v] = mul(mul(from_f16(header + kPanel * 2 + lane * 2), from_i8(at + kPanel + lane)),
                         broadcast(-1.0f));
      } else {
        scale[v] = from_f16(at + lane * 2);
        if (D == Dtype::kQ4_1) minimum[v] = from_f16(at + kPanel * 2 + lane * 2);
      }
    }
    const auto value = [&](F16 q, int v) {
      return D == Dtype::kQ4_0 ? mul(scale[v], sub(q, broadcast(8.0f)))
                               : fma(q, scale[v], minimum[v]);
    };
    for (int64_t k = 0; k < kGranule; k += 2) {
      F16 even[kPanelVectors], odd[kPanelVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kPanelVectors; ++v) {
        from_nibbles(numbers + k / 2 * kPanel + v * kVector, &even[v], &odd[v]);
      }
#pragma GCC unroll 4
      for (int v = 0; v < kPanelVectors; ++v) visit(k, v, value(even[v], v));
#pragma GCC unroll 4
      for (int v = 0; v < kPanelVectors; ++v) visit(k + 1, v, value(odd[v], v));
    }
  }
}

}  // namespace valora::VALORA_ISA
