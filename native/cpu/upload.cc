// upload_weight: a stored matrix becomes the panels of panels.h. The matrix itself stays mapped for
// the operations that read single rows (embed, head_backward).
#include <memory>

#include "core/dequantize.h"
#include "cpu/cpu.h"
#include "cpu/panels.h"

namespace valora::VALORA_ISA {

namespace {

// The stored rows of a panel; rows past the matrix are null.
struct PanelRows {
  const uint8_t* at[kPanel];
};

void put_halves(const PanelRows& rows, int64_t offset, uint8_t* out) {
  for (int64_t i = 0; i < kPanel; ++i) {
    if (rows.at[i] != nullptr) std::memcpy(out + 2 * i, rows.at[i] + offset, 2);
  }
}

// out[k * kPanel + i] = bytes[i][k], sixteen of each row.
void put_bytes(const uint8_t bytes[kPanel][16], uint8_t* out) {
  for (int64_t i = 0; i < kPanel; i += kVector) {
    const uint8_t* rows[kVector];
    for (int64_t r = 0; r < kVector; ++r) rows[r] = bytes[i + r];
    uint8_t columns[16 * kVector];
    transpose_bytes(rows, columns);
    for (int64_t k = 0; k < 16; ++k) {
      std::memcpy(out + k * kPanel + i, columns + k * kVector, kVector);
    }
  }
}

// out[b] = numbers 2 b and 2 b + 1 of a block of Q4_0 or Q4_1, whose 16 bytes hold numbers 0 to 15
// in their low nibbles and 16 to 31 in their high ones.
void pair_nibbles(const uint8_t* stored, uint8_t* out) {
  for (int b = 0; b < 8; ++b) {
    const int first = stored[2 * b], second = stored[2 * b + 1];
    out[b] = static_cast<uint8_t>((first & 15) | (second & 15) << 4);
    out[8 + b] = static_cast<uint8_t>(first >> 4 | (second & 0xf0));
  }
}

// The same of a group of Q4_K: 32 bytes that hold this group's numbers in their low (shift 0) or
// high nibbles (shift 4).
void pair_half(const uint8_t* stored, int shift, uint8_t* out) {
  for (int b = 0; b < 16; ++b) {
    const int first = stored[2 * b] >> shift, second = stored[2 * b + 1] >> shift;
    out[b] = static_cast<uint8_t>((first & 15) | (second & 15) << 4);
  }
}

// Columns of 4 bytes: floats, or pairs of bfloat16 of which the last may lack its odd one. Bits are
// only moved.
void put_words(const PanelRows& rows, int64_t row_bytes, uint8_t* panel) {
  float* out = reinterpret_cast<float*>(panel);
  float square[kVector * kVector] = {};
  for (int64_t k = 0; 4 * k < row_bytes; k += kVector, out += kVector * kPanel) {
    const int64_t bytes = min_of(4 * kVector, row_bytes - 4 * k);
    const int64_t words = (bytes + 3) / 4;
    float columns[kVector * kPanel];
    for (int64_t i = 0; i < kPanel; i += kVector) {
      for (int64_t r = 0; r < kVector; ++r) {
        if (rows.at[i + r] == nullptr) {
          std::memset(square + r * kVector, 0, bytes);
        } else {
          std::memcpy(square + r * kVector, rows.at[i + r] + 4 * k, bytes);
        }
      }
      transpose(square, kVector, columns + i, kPanel);
    }
    std::memcpy(out, columns, words * kPanel * 4);
  }
}

template <Dtype D>
void fill_granule(const PanelRows& rows, int64_t g, uint8_t* panel) {
  uint8_t* out = panel + granule_offset<D>(g);
  uint8_t bytes[kPanel][16] = {};
  if constexpr (D == Dtype::kQ8_0) {
    put_halves(rows, g * 34, out);
    for (int64_t half = 0; half < 2; ++half) {
      for (int64_t i = 0; i < kPanel; ++i) {
        if (rows.at[i] != nullptr) std::memcpy(bytes[i], rows.at[i] + g * 34 + 2 + half * 16, 16);
      }
      put_bytes(bytes, out + kPanel * (2 + half * 16));
    }
  } else if constexpr (D == Dtype::kQ4_K) {
    const int64_t block = g / kBlockGranules * 144;
    const int group = static_cast<int>(g % kBlockGranules);
    if (group == 0) {
      put_halves(rows, block, out - kBlockHeader * kPanel);
      put_halves(rows, block + 2, out - kBlockHeader * kPanel + 2 * kPanel);
    }
    for (int64_t i = 0; i < kPanel; ++i) {
      if (rows.at[i] == nullptr) continue;
      int scale, minimum;
      scale_and_minimum(rows.at[i] + block + 4, group, &scale, &minimum);
      out[i] = static_cast<uint8_t>(scale);
      out[kPanel + i] = static_cast<uint8_t>(minimum);
      pair_half(rows.at[i] + block + 16 + group / 2 * 32, group % 2 * 4, bytes[i]);
    }
    put_bytes(bytes, out + 2 * kPanel);
  } else {
    constexpr int64_t kScales = D == Dtype::kQ4_1 ? 4 : 2;
    const int64_t block = g * (kScales + 16);
    put_halves(rows, block, out);
    if (D == Dtype::kQ4_1) put_halves(rows, block + 2, out + 2 * kPanel);
    for (int64_t i = 0; i < kPanel; ++i) {
      if (rows.at[i] != nullptr) pair_nibbles(rows.at[i] + block + kScales, bytes[i]);
    }
    put_bytes(bytes, out + kScales * kPanel);
  }
}

template <Dtype D>
void fill(PanelWeight* weight) {
  const int64_t granules = (weight->cols() + kGranule - 1) / kGranule;
  weight->panel_bytes = granule_offset<D>(granules);
  if (D == Dtype::kQ4_K) weight->panel_bytes -= kBlockHeader * kPanel;  // of a block past the end
  const int64_t panels = (weight->rows() + kPanel - 1) / kPanel;
  weight->own_bytes = panels * weight->panel_bytes;
  weight->pages = Pages(weight->own_bytes);
  for (int64_t p = 0; p < panels; ++p) {
    PanelRows rows;
    for (int64_t i = 0; i < kPanel; ++i) {
      const int64_t row = p * kPanel + i;
      rows.at[i] = row < weight->rows() ? weight->row(row) : nullptr;
    }
    uint8_t* panel = weight->pages.data() + p * weight->panel_bytes;
    if constexpr (D == Dtype::kF32 || D == Dtype::kBF16) {
      put_words(rows, weight->row_bytes, panel);
    } else if constexpr (D == Dtype::kF16) {
      for (int64_t k = 0; k < weight->cols(); ++k) put_halves(rows, 2 * k, panel + 2 * k * kPanel);
    } else {
      for (int64_t g = 0; g < granules; ++g) fill_granule<D>(rows, g, panel);
    }
  }
}

}  // namespace

PanelWeight::~PanelWeight() = default;

std::unique_ptr<Weight> upload_weight(const WeightSource& source, const Context&) {
  PanelWeight* weight = new PanelWeight;
  std::unique_ptr<Weight> owner(weight);
  weight->source = source;
  weight->row_bytes = dtype_row_bytes(source.dtype, source.cols);
  with_panel_format(source.dtype, [&]<Dtype D>() { fill<D>(weight); });
  return owner;
}

}  // namespace valora::VALORA_ISA
