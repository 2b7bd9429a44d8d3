// Fixed work for scripts/count-instructions.mjs, which runs it under callgrind: one DPO step and
// one generation of a small random model on one thread of the AVX2 set. Times mean nothing on
// shared machines; instructions do not waver.
#include "support/tiny_model.h"

namespace valora::test {

// Callgrind collects inside these two alone.
__attribute__((noinline)) void counted_step(Trainer& trainer, const PairBatch& batch) {
  trainer.accumulate(batch, {LossKind::kSigmoid, 0.1, 0, 0}, nullptr);
  trainer.step({});
}

__attribute__((noinline)) void counted_generation(Model& model, const GenerationRequest& request) {
  model.generate(request, nullptr, nullptr);
}

int run() {
  const Ops* avx2 = cpu_ops("avx2");
  if (avx2 == nullptr) {
    std::fprintf(stderr, "this machine has no AVX2\n");
    return 2;
  }
  TinyShape shape{"counted"};
  shape.channels = 192;
  shape.head_dim = 48;
  shape.feed_forward = 512;
  shape.vocabulary = 1000;
  const TinyModel tiny(shape, 2);
  Model model = tiny.open(*avx2);
  const int32_t adapter = model.load_adapter(tiny.random_adapter(3, 4));
  Random random(7);
  std::vector<TokenPair> pairs(4);
  for (TokenPair& pair : pairs) {
    pair.prompt = random_tokens(random, 60, shape.vocabulary);
    pair.chosen = random_tokens(random, 20, shape.vocabulary);
    pair.rejected = random_tokens(random, 30, shape.vocabulary);
  }
  const std::unique_ptr<Trainer> trainer = model.create_trainer(adapter, Recompute::kNever);
  counted_step(*trainer, pair_batch(pairs, adapter));

  GenerationRequest request;
  request.prompts = {pairs[0].prompt};
  request.adapters = {0};
  request.streams = {1};
  request.samples = 1;
  request.max_new_tokens = 16;
  request.sampling = {0, 0, 1};
  counted_generation(model, request);
  return 0;
}

}  // namespace valora::test

int main() { return valora::test::run(); }
