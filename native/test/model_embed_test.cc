// Mean hidden states: against a plain loop over the rows that the layers give on the reference
// backend, where every text is run alone, the prompt and the response in one span.
//
// Seen failing: with rows taken in the order of targets instead of theirs, with the state before
// the layer instead of after it, and with the sum divided by one row too many.
#include <cmath>
#include <string>

#include "core/error.h"
#include "support/tiny_model.h"

namespace valora::test {
namespace {

constexpr int64_t kLayers = 3;

// A response that follows a prompt, in the batch's group `group`.
struct Text {
  std::vector<int32_t> prompt, response;
};

// The residual stream of every row of one path after `layers` layers, on the reference backend.
Grid hidden_states(Engine& engine, const std::vector<int32_t>& tokens, int32_t adapter,
                   int64_t layers) {
  ForestBuilder builder;
  builder.span(-1, tokens, adapter);
  // After the last layer only rows with targets are left: all have one.
  for (size_t row = 0; row < tokens.size(); ++row) {
    builder.input.targets.push_back({static_cast<int32_t>(row), 0});
  }
  const ModelConfig& config = engine.config();
  const Forest forest(builder.input, config.vocabulary, config.max_positions);
  const Batch batch = make_batch(
      forest, [&](int32_t handle) { return handle == 0 ? nullptr : engine.adapter(handle).get(); });
  const PassModel model = engine.pass_model(batch.longest);
  Grid states(forest.rows(), config.channels);
  engine.run({"hidden states", 0,
              [&](const Context& context) {
                const ArenaScope scope(*context.arena);
                const Transformer transformer(config, model.weights, model.rope, batch, context);
                const View x = context.arena->matrix(forest.rows(), config.channels);
                const View out = residual_forward(transformer, layers, x, nullptr);
                if (context.arena->counting()) return;
                for (int64_t i = 0; i < out.rows; ++i) {
                  for (int64_t c = 0; c < out.cols; ++c) states.at(i, c) = out.row(i)[c];
                }
              }},
             nullptr);
  return states;
}

// What embedding is to give: row g is the mean over the response of texts[g].
Grid plain_means(Engine& engine, const std::vector<Text>& texts, int32_t adapter, int64_t layers) {
  Grid means(static_cast<int64_t>(texts.size()), engine.config().channels);
  for (size_t g = 0; g < texts.size(); ++g) {
    std::vector<int32_t> path = texts[g].prompt;
    path.insert(path.end(), texts[g].response.begin(), texts[g].response.end());
    const Grid states = hidden_states(engine, path, adapter, layers);
    for (int64_t c = 0; c < means.cols; ++c) {
      for (size_t row = texts[g].prompt.size(); row < path.size(); ++row) {
        means.at(g, c) += states.at(row, c) / static_cast<double>(texts[g].response.size());
      }
    }
  }
  return means;
}

// Texts after one another; neighbours of one prompt share it.
EmbeddingRequest request_of(const std::vector<Text>& texts, int32_t adapter, int64_t layer) {
  ForestBuilder builder;
  EmbeddingRequest request;
  request.layer = layer;
  int32_t prompt = -1;
  for (size_t g = 0; g < texts.size(); ++g) {
    if (g == 0 || texts[g].prompt != texts[g - 1].prompt) {
      prompt = builder.span(-1, texts[g].prompt, adapter);
    }
    const Span span = builder.input.spans[builder.span(prompt, texts[g].response)];
    for (int32_t i = 0; i < span.length; ++i) {
      builder.input.targets.push_back({span.begin + i, 0});
      request.groups.push_back(static_cast<int32_t>(g));
    }
  }
  request.forest = builder.input;
  return request;
}

// One row, a block of attention's keys and one more, three responses to one prompt, a prompt of one
// token, and the longest path that the model has positions for.
std::vector<Text> odd_texts() {
  Random random(7);
  const auto tokens = [&](int64_t count) { return random_tokens(random, count); };
  const std::vector<int32_t> shared = tokens(13);
  return {{tokens(5), tokens(1)},   {shared, tokens(64)},    {shared, tokens(1)},
          {shared, tokens(29)},     {tokens(1), tokens(65)}, {tokens(1), tokens(1)},
          {tokens(31), tokens(129)}};
}

class EmbedTest : public TinyModelTest {};

TEST_P(EmbedTest, IsTheMeanOfTheResponsesRowsAfterAnyNumberOfLayers) {
  const TinyModel tiny(GetParam(), kLayers);
  const std::vector<LoraModule> modules = tiny.random_adapter(4);
  const std::vector<Text> texts = odd_texts();
  Engine plain(tiny.config, tiny.tensors, tiny.options(reference_ops()));
  ASSERT_EQ(plain.add_adapter(Adapter::load(tiny.config, modules)), 1);
  std::vector<Grid> wanted;
  for (const int32_t adapter : {0, 1}) {
    for (int64_t layer = 0; layer <= kLayers; ++layer) {
      wanted.push_back(plain_means(plain, texts, adapter, layer));
    }
  }
  for (const Ops* ops : backends()) {
    Model model = tiny.open(*ops, 2);
    ASSERT_EQ(model.load_adapter(modules), 1);
    for (const int32_t adapter : {0, 1}) {
      for (int64_t layer = 0; layer <= kLayers; ++layer) {
        const Grid& want = wanted[adapter * (kLayers + 1) + layer];
        const std::vector<float> got = model.embed(request_of(texts, adapter, layer), nullptr);
        ASSERT_EQ(got.size(), want.data.size());
        for (size_t i = 0; i < got.size(); ++i) {
          const double diff = std::abs(got[i] - want.data[i]);
          // Some hundred float32 roundings of sums that cancel; a wrong row is off by tenths.
          if (!(diff <= 2e-5 * (1 + std::abs(want.data[i])))) {
            ADD_FAILURE() << ops->name << ", adapter " << adapter << ", layer " << layer
                          << ", text " << i / tiny.config.channels << ", channel "
                          << i % tiny.config.channels << ": " << got[i] << ", expected "
                          << want.data[i];
            break;
          }
        }
      }
    }
  }
}

TEST_P(EmbedTest, OfATextIsTheSameToTheBitAlonePackedAndOnAnyNumberOfThreads) {
  const TinyModel tiny(GetParam(), kLayers);
  const std::vector<Text> texts = odd_texts();
  const size_t channels = tiny.config.channels;
  for (const Ops* ops : backends()) {
    Model model = tiny.open(*ops, 1);
    Model threaded = tiny.open(*ops, 3);
    for (const int64_t layer : {kLayers - 1, kLayers}) {
      const std::vector<float> packed = threaded.embed(request_of(texts, 0, layer), nullptr);
      for (size_t g = 0; g < texts.size(); ++g) {
        const std::vector<float> alone = model.embed(request_of({texts[g]}, 0, layer), nullptr);
        ASSERT_EQ(alone.size(), channels);
        EXPECT_EQ(std::memcmp(alone.data(), packed.data() + g * channels, channels * sizeof(float)),
                  0)
            << ops->name << ", text " << g << ", layer " << layer;
      }
    }
  }
}

TEST_P(EmbedTest, OfATruncatedTextIsTheMeanOverTheRowsThatAreLeft) {
  const TinyModel tiny(GetParam(), kLayers);
  const Text whole = odd_texts().back();
  for (const Ops* ops : backends()) {
    Model model = tiny.open(*ops, 1);
    for (const size_t kept : {1, 63, 128}) {
      const Text cut{whole.prompt, {whole.response.begin(), whole.response.begin() + kept}};
      // Rows see nothing that comes after them.
      EmbeddingRequest first = request_of({whole}, 0, 2);
      first.forest.targets.resize(kept);
      first.groups.resize(kept);
      const std::vector<float> want = model.embed(request_of({cut}, 0, 2), nullptr);
      const std::vector<float> got = model.embed(first, nullptr);
      ASSERT_EQ(got.size(), want.size());
      EXPECT_EQ(std::memcmp(got.data(), want.data(), got.size() * sizeof(float)), 0)
          << ops->name << ", " << kept << " tokens";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, EmbedTest, testing::ValuesIn(tiny_shapes()), tiny_name);

// What Model says to a request that `change` has spoilt.
template <typename Change>
std::string refusal(const Change& change) {
  const TinyModel tiny(tiny_shapes()[0], kLayers);
  Model model = tiny.open(reference_ops());
  EmbeddingRequest request = request_of({{{1, 2}, {3, 4}}, {{1, 2}, {5}}}, 0, 1);
  change(request);
  try {
    model.embed(request, nullptr);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.what();
  }
  return "no error";
}

TEST(EmbedRequestTest, ThatMakesNoSenseIsRefusedWithTheReason) {
  const auto says = [](const std::string& message, const char* part) {
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  says(refusal([](EmbeddingRequest&) {}), "no error");
  says(refusal([](EmbeddingRequest& r) { r.layer = kLayers + 1; }), "there is no layer 4");
  says(refusal([](EmbeddingRequest& r) { r.layer = -1; }), "there is no layer -1");
  says(refusal([](EmbeddingRequest& r) { r.groups.pop_back(); }), "2 groups for 3 targets");
  says(refusal([](EmbeddingRequest& r) { r.groups[0] = -1; }), "group -1 of at most 3");
  says(refusal([](EmbeddingRequest& r) { r.groups[2] = 3; }), "group 3 of at most 3");
  says(refusal([](EmbeddingRequest& r) { r.groups[2] = 2; }), "group 1 has no row");
  says(refusal([](EmbeddingRequest& r) { r.forest.targets[2].row = 5; }), "row 5");
  says(refusal([](EmbeddingRequest& r) { r.forest.tokens[4] = 83; }), "83");
  says(refusal([](EmbeddingRequest& r) {
         // One position more than the model has.
         r.forest.tokens.resize(161 - 2 + 4, 0);
         r.forest.spans[2].length = 161 - 2;
       }),
       "160");
}

TEST(EmbedRequestTest, OfNothingIsNothing) {
  const TinyModel tiny(tiny_shapes()[0], kLayers);
  Model model = tiny.open(reference_ops());
  EmbeddingRequest request;
  EXPECT_TRUE(model.embed(request, nullptr).empty());
  request = request_of({{{1, 2}, {3}}}, 0, 1);
  request.forest.targets.clear();
  request.groups.clear();
  EXPECT_TRUE(model.embed(request, nullptr).empty());
}

}  // namespace
}  // namespace valora::test
