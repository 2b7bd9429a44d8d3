// ModelConfig: the shape of a decoder-only transformer in the five families valora knows, as plain
// numbers. TypeScript reads them from config.json or GGUF metadata (lib/models/config.ts).
#pragma once

#include <cstdint>
#include <vector>

namespace valora {

// Where a layer's two norms stand: before attention and feed-forward (Llama, Mistral, Qwen), or
// after them, on what is added to the residual stream (OLMo-2).
enum class NormPlacement { kPre, kPost };
// What is normalised between the q and k projections and the rotation.
enum class QkNorm { kNone, kWhole, kHead };

struct ModelConfig {
  int64_t layers = 0;
  int64_t channels = 0;      // C
  int64_t heads = 0;         // H
  int64_t kv_heads = 0;      // K
  int64_t head_dim = 0;      // D, even
  int64_t feed_forward = 0;  // F
  int64_t vocabulary = 0;    // V
  int64_t max_positions = 0;
  float norm_epsilon = 1e-5f;
  NormPlacement norm_placement = NormPlacement::kPre;
  QkNorm qk_norm = QkNorm::kNone;
  std::vector<double> inverse_frequencies;  // [D/2] radians a position, rope scaling applied
};

// The seven matrices of a layer that LoRA can be put on, in the order of their use.
enum class LinearKind : int { kQ, kK, kV, kO, kGate, kUp, kDown };
inline constexpr int kLinearKinds = 7;

}  // namespace valora
