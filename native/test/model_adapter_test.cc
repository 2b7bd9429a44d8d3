// Adapters: initialisation, the way in and out, what is refused; and read_tensor with one added.
#include <cmath>

#include "core/error.h"
#include "support/tiny_model.h"

namespace valora::test {
namespace {

const TinyShape kShape = tiny_shapes()[2];  // mistral_nemo: D != C/H

// The message of the Error that `call` throws.
template <typename Call>
std::string error_of(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(AdapterTest, FreshOnesHaveUniformAAndZeroB) {
  const TinyModel tiny(kShape);
  Model model = tiny.open(reference_ops());
  const int32_t handle = model.create_adapter({{LinearKind::kDown, LinearKind::kQ}, 4, 2.0f, 9});
  const std::vector<LoraModule> modules = model.export_adapter(handle);
  ASSERT_EQ(modules.size(), 6u);
  EXPECT_EQ(modules[0].kind, LinearKind::kQ);
  EXPECT_EQ(modules[1].kind, LinearKind::kDown);
  EXPECT_EQ(modules[5].layer, 2);
  for (const LoraModule& module : modules) {
    const double inputs = static_cast<double>(module.a.size()) / 4;
    double sum = 0, squares = 0;
    for (const float value : module.a) {
      EXPECT_LE(std::abs(value), 1 / std::sqrt(inputs));
      sum += value;
      squares += double{value} * value;
    }
    // A uniform on (-b, b) has variance b^2 / 3; five standard errors of the mean and of the
    // variance.
    const double n = static_cast<double>(module.a.size());
    EXPECT_LT(std::abs(sum / n), 5 * std::sqrt(1 / (3 * inputs * n)));
    EXPECT_LT(std::abs(squares / n * inputs * 3 - 1), 5 * std::sqrt(0.8 / n));
    for (const float value : module.b) EXPECT_EQ(value, 0.0f);
  }
}

TEST(AdapterTest, ASeedAndAPlaceGiveTheSameNumbersWhateverElseIsTrained) {
  const TinyModel tiny(kShape);
  Model model = tiny.open(reference_ops());
  const auto a_of = [&](std::vector<LinearKind> kinds, uint64_t seed) {
    const int32_t handle = model.create_adapter({std::move(kinds), 4, 2.0f, seed});
    for (const LoraModule& module : model.export_adapter(handle)) {
      if (module.layer == 1 && module.kind == LinearKind::kV) return module.a;
    }
    return std::vector<float>();
  };
  const std::vector<float> alone = a_of({LinearKind::kV}, 3);
  EXPECT_EQ(alone, a_of(TinyModel::all_kinds(), 3));
  EXPECT_NE(alone, a_of({LinearKind::kV}, 4));
}

TEST(AdapterTest, ComesOutAsItWentIn) {
  const TinyModel tiny(kShape);
  Model model = tiny.open(reference_ops());
  std::vector<LoraModule> modules = tiny.random_adapter(4);
  modules.erase(modules.begin() + 8);
  const int32_t handle = model.load_adapter({modules.rbegin(), modules.rend()});
  EXPECT_EQ(bits_of(model.export_adapter(handle)), bits_of(modules));
}

TEST(AdapterTest, ErrorsNameLayerAndMatrix) {
  const TinyModel tiny(kShape);
  Model model = tiny.open(reference_ops());
  const auto error_with = [&](auto change) {
    std::vector<LoraModule> modules = tiny.random_adapter(4);
    change(modules[7 + 4]);  // layer 1, gate
    return error_of([&] { model.load_adapter(modules); });
  };
  EXPECT_NE(error_with([](LoraModule& m) { m.a.pop_back(); }).find("layer 1 gate_proj"),
            std::string::npos);
  EXPECT_NE(error_with([](LoraModule& m) { m.b.push_back(0); }).find("layer 1 gate_proj"),
            std::string::npos);
  EXPECT_NE(error_with([](LoraModule& m) { m.rank = 0; }).find("rank 0"), std::string::npos);
  EXPECT_NE(error_with([](LoraModule& m) { m.rank = int64_t{1} << 60; }).find("rank"),
            std::string::npos);
  EXPECT_NE(error_with([](LoraModule& m) { m.layer = 3; }).find("layer 3"), std::string::npos);
  EXPECT_NE(error_with([](LoraModule& m) { m.kind = LinearKind::kUp; }).find("twice"),
            std::string::npos);
  EXPECT_NE(error_of([&] { model.load_adapter({}); }).find("no matrix"), std::string::npos);
}

TEST(AdapterTest, AHandleThatIsGoneIsAnError) {
  const TinyModel tiny(kShape);
  Model model = tiny.open(reference_ops());
  const int32_t handle = model.load_adapter(tiny.random_adapter(4));
  model.remove_adapter(handle);
  EXPECT_THROW(model.export_adapter(handle), Error);
  EXPECT_THROW(model.remove_adapter(handle), Error);
  ForestBuilder builder;
  builder.target_all(builder.span(-1, {1, 2, 3}, handle));
  EXPECT_THROW(model.score(builder.input, nullptr), Error);
  EXPECT_NE(model.load_adapter(tiny.random_adapter(4)), handle);
}

TEST(AdapterTest, ReadTensorAddsTheDelta) {
  const TinyModel tiny(kShape);
  Model model = tiny.open(reference_ops());
  const std::vector<LoraModule> modules = tiny.random_adapter(4, 3, {LinearKind::kO});
  const int32_t handle = model.load_adapter(modules);
  const int64_t inputs = linear_shape(tiny.config, LinearKind::kO).inputs;
  const auto read = [&](LinearKind kind, int32_t adapter) {
    return model.read_tensor(TensorRole::kLinear, kind, 2, 3, 4, adapter);
  };
  const std::vector<float> base = read(LinearKind::kO, 0);
  const std::vector<float> merged = read(LinearKind::kO, handle);
  ASSERT_EQ(merged.size(), static_cast<size_t>(4 * inputs));
  for (int64_t o = 0; o < 4; ++o) {
    for (int64_t i = 0; i < inputs; ++i) {
      double delta = 0;
      for (int64_t r = 0; r < 3; ++r) {
        delta += double{modules[2].b[(o + 3) * 3 + r]} * modules[2].a[r * inputs + i];
      }
      EXPECT_EQ(merged[o * inputs + i], static_cast<float>(base[o * inputs + i] + 0.5 * delta));
    }
  }
  EXPECT_EQ(read(LinearKind::kQ, handle), read(LinearKind::kQ, 0));
  EXPECT_THROW(model.read_tensor(TensorRole::kLinear, LinearKind::kO, 2, 22, 3, 0), Error);
  EXPECT_THROW(model.read_tensor(TensorRole::kLinear, LinearKind::kO, 3, 0, 1, 0), Error);
  EXPECT_THROW(model.read_tensor(TensorRole::kBias, LinearKind::kO, 0, 0, 1, 0), Error);
}

}  // namespace
}  // namespace valora::test
