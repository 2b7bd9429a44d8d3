// Whole tiny models of the six families on the CUDA backend over the emulated device, by the
// runtime and the kernels that a real one would run: log-probabilities, gradients, a DPO step,
// hidden states and generated text beside the reference backend's, in float32; in bfloat16 no
// further from it than the CPU's bfloat16 is, some times over.
#include <algorithm>

#include "cuda/backend.h"
#ifndef VALORA_REAL_DEVICE
#include "cuda/emulation/machine.h"
#endif
#include "support/tiny_model.h"

namespace valora::test {
namespace {

// The reference sums in double. A log-probability here passes some forty float32 sums of at most
// a hundred terms: a few 1e-6 of its size.
constexpr double kTolerance = 2e-5;

Model open(const TinyModel& tiny, const Ops& ops, Compute compute = Compute::kFloat32) {
  ModelOptions options = tiny.options(ops);
  options.compute = compute;
  if (ops.space == Space::kDevice) options.device = open_cuda_device(0);
  return Model(tiny.config, tiny.tensors, options);
}

// Two trees, one with an adapter and one of the base model.
ForestInput scored_forest(int32_t adapter) {
  Random random(71);
  ForestBuilder builder;
  const int32_t prompt = builder.span(-1, random_tokens(random, 23), adapter);
  for (const int64_t length : {5, 1, 9}) {
    builder.target_all(builder.span(prompt, random_tokens(random, length)));
  }
  builder.target_all(builder.span(-1, random_tokens(random, 7), 0));
  std::stable_sort(builder.input.targets.begin(), builder.input.targets.end(),
                   [](const Target& a, const Target& b) { return a.row < b.row; });
  return builder.input;
}

std::vector<double> logprobs(const TinyModel& tiny, const Ops& ops, Compute compute) {
  Model model = open(tiny, ops, compute);
  const int32_t adapter = model.load_adapter(tiny.random_adapter(3));
  return model.score(scored_forest(adapter), nullptr).logprobs;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double diff = std::abs(a[i] - b[i]);
    if (!(diff <= largest)) largest = diff;
  }
  return largest;
}

// Every number of two adapters, or of their gradients, within a share of the largest.
void expect_close(const std::vector<LoraModule>& got, const std::vector<LoraModule>& want,
                  double share) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t m = 0; m < got.size(); ++m) {
    for (auto values : {&LoraModule::a, &LoraModule::b}) {
      const std::vector<float>&mine = got[m].*values, &theirs = want[m].*values;
      ASSERT_EQ(mine.size(), theirs.size());
      double largest = 0;
      for (const float value : theirs) largest = std::max(largest, std::abs(double{value}));
      for (size_t i = 0; i < mine.size(); ++i) {
        const double diff = std::abs(double{mine[i]} - theirs[i]);
        ASSERT_TRUE(diff <= share * largest + 1e-9)
            << "module " << m << ", number " << i << ": " << mine[i] << ", expected " << theirs[i];
      }
    }
  }
}

class CudaModelTest : public TinyModelTest {
#ifndef VALORA_REAL_DEVICE
  // Every test in an order of threads of its own.
  inline static uint64_t next_seed_ = 0;
  const emulation::Session session_{{.seed = next_seed_++}};
#endif
};

TEST_P(CudaModelTest, ScoresAsTheReferenceDoes) {
  const TinyModel tiny(GetParam(), 2);
  const std::vector<double> want = logprobs(tiny, reference_ops(), Compute::kFloat32);
  ASSERT_EQ(want.size(), 21u);
  const std::vector<double> got = logprobs(tiny, cuda_ops(), Compute::kFloat32);
  EXPECT_TRUE(largest_difference(got, want) <= kTolerance) << largest_difference(got, want);

  const std::vector<double> cpu = logprobs(tiny, best_cpu_ops(), Compute::kBf16);
  const std::vector<double> rounded = logprobs(tiny, cuda_ops(), Compute::kBf16);
  // Attention and the weights of its keys are rounded here, on the CPU they are not.
  EXPECT_TRUE(largest_difference(rounded, want) <= 4 * largest_difference(cpu, want))
      << largest_difference(rounded, want) << " and " << largest_difference(cpu, want);
  EXPECT_GT(largest_difference(rounded, want), largest_difference(got, want));
}

TEST_P(CudaModelTest, TakesTheReferencesDpoStep) {
  const TinyModel tiny(GetParam(), 2);
  struct Outcome {
    PairResults results;
    double norm;
    std::vector<LoraModule> gradients, adapter;
  };
  const auto step = [&](const Ops& ops) {
    Model model = open(tiny, ops);
    const int32_t adapter = model.load_adapter(tiny.random_adapter(4));
    PairBatch batch = pair_batch(random_pairs(5, 2), adapter);
    set_reference(model, batch, 0);
    const auto trainer = model.create_trainer(adapter, Recompute::kNever);
    Outcome outcome;
    outcome.results = trainer->accumulate(batch, {}, nullptr);
    outcome.gradients = trainer->gradients();
    AdamwOptions options;
    options.learning_rate = 1e-2;
    options.clip = 1;
    outcome.norm = trainer->step(options);
    outcome.adapter = model.export_adapter(adapter);
    return outcome;
  };
  const Outcome want = step(reference_ops()), got = step(cuda_ops());
  EXPECT_TRUE(largest_difference(got.results.loss, want.results.loss) <= kTolerance);
  EXPECT_TRUE(largest_difference(got.results.chosen, want.results.chosen) <= 10 * kTolerance);
  EXPECT_TRUE(std::abs(got.norm - want.norm) <= 1e-4 * want.norm) << got.norm;
  expect_close(got.gradients, want.gradients, 1e-4);
  // AdamW's first step is the gradient's sign, but for gradients near its epsilon.
  expect_close(got.adapter, want.adapter, 1e-3);
}

TEST_P(CudaModelTest, BeginsDpoAtLn2AndRepeatsItselfToTheBit) {
  const TinyModel tiny(GetParam(), 2);
  for (const Compute compute : {Compute::kFloat32, Compute::kBf16}) {
    Model model = open(tiny, cuda_ops(), compute);
    const int32_t adapter = model.create_adapter({TinyModel::all_kinds(), 2, 0.5f, 9});
    PairBatch batch = pair_batch(random_pairs(6, 2), adapter);
    set_reference(model, batch, 0);
    const auto trainer = model.create_trainer(adapter, Recompute::kNever);
    const PairResults first = trainer->accumulate(batch, {}, nullptr);
    for (const double loss : first.loss) EXPECT_EQ(loss, std::log(2.0));
    const std::vector<uint32_t> gradients = bits_of(trainer->gradients());
    EXPECT_TRUE(std::any_of(gradients.begin(), gradients.end(), [](uint32_t b) { return b != 0; }));
    trainer->clear();
    trainer->accumulate(batch, {}, nullptr);
    EXPECT_EQ(bits_of(trainer->gradients()), gradients);
  }
}

TEST_P(CudaModelTest, GeneratesWhatItScores) {
  const TinyModel tiny(GetParam(), 2);
  GenerationRequest request;
  Random random(72);
  request.prompts = {random_tokens(random, 5), random_tokens(random, 14)};
  request.max_new_tokens = 4;
  request.adapters = {0, 0};
  request.streams = {0, 1};
  const auto generate = [&](const Ops& ops, Compute compute) {
    Model model = open(tiny, ops, compute);
    return model.generate(request, nullptr, {});
  };
  const std::vector<Generated> want = generate(reference_ops(), Compute::kFloat32);
  const std::vector<Generated> got = generate(cuda_ops(), Compute::kFloat32);
  for (size_t p = 0; p < want.size(); ++p) {
    EXPECT_EQ(got[p].tokens, want[p].tokens);
    EXPECT_TRUE(largest_difference(got[p].logprobs, want[p].logprobs) <= kTolerance);
  }
  // A step's row has the bits that the row has among all others.
  const std::vector<Generated> rounded = generate(cuda_ops(), Compute::kBf16);
  ForestBuilder builder;
  std::vector<double> generated;
  for (size_t p = 0; p < rounded.size(); ++p) {
    builder.target_all(builder.span(builder.span(-1, request.prompts[p]), rounded[p].tokens));
    generated.insert(generated.end(), rounded[p].logprobs.begin(), rounded[p].logprobs.end());
  }
  Model model = open(tiny, cuda_ops(), Compute::kBf16);
  EXPECT_EQ(bits_of(model.score(builder.input, nullptr).logprobs), bits_of(generated));
}

TEST_P(CudaModelTest, AveragesTheReferencesHiddenStates) {
  const TinyModel tiny(GetParam(), 2);
  EmbeddingRequest request;
  request.forest = scored_forest(0);
  for (size_t i = 0; i < request.forest.targets.size(); ++i) {
    request.groups.push_back(static_cast<int32_t>(i % 2));
  }
  for (const int64_t layer : {1, 2}) {
    request.layer = layer;
    Model model = open(tiny, cuda_ops()), reference = open(tiny, reference_ops());
    const std::vector<float> got = model.embed(request, nullptr);
    const std::vector<float> want = reference.embed(request, nullptr);
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < got.size(); ++i) {
      const double diff = std::abs(double{got[i]} - want[i]);
      ASSERT_TRUE(diff <= kTolerance) << "layer " << layer << ", number " << i << ": " << diff;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, CudaModelTest, testing::ValuesIn(tiny_shapes()), tiny_name);

}  // namespace
}  // namespace valora::test
