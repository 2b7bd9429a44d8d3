// dequantize against gguf-py's answers for every format (test/golden/gguf), bit for bit, and its
// checks. The two golden files are read here by the few lines this needs of their formats.
#include "core/dequantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "core/error.h"

namespace valora {
namespace {

std::vector<uint8_t> read_golden(const std::string& name) {
  std::ifstream file(std::string(VALORA_GOLDEN "/gguf/") + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// A cursor over a GGUF file (version 3, little endian): enough to reach its tensors.
class GgufReader {
 public:
  struct Tensor {
    std::string name;
    std::vector<uint64_t> shape;  // fastest axis first
    uint32_t type;
    uint64_t offset;
  };

  explicit GgufReader(const std::vector<uint8_t>& bytes) : bytes_(bytes) {
    at_ = 8;
    const auto tensors = take<uint64_t>();
    const auto entries = take<uint64_t>();
    for (uint64_t i = 0; i < entries; ++i) {
      text();
      skip_value(take<uint32_t>());
    }
    for (uint64_t i = 0; i < tensors; ++i) {
      Tensor tensor;
      tensor.name = text();
      tensor.shape.resize(take<uint32_t>());
      for (uint64_t& extent : tensor.shape) extent = take<uint64_t>();
      tensor.type = take<uint32_t>();
      tensor.offset = take<uint64_t>();
      tensors_.push_back(tensor);
    }
    data_ = (at_ + 31) / 32 * 32;
  }

  const std::vector<Tensor>& tensors() const { return tensors_; }
  const uint8_t* data(const Tensor& tensor) const { return bytes_.data() + data_ + tensor.offset; }

 private:
  template <typename T>
  T take() {
    T value;
    std::memcpy(&value, bytes_.data() + at_, sizeof value);
    at_ += sizeof value;
    return value;
  }
  std::string text() {
    const auto length = take<uint64_t>();
    at_ += length;
    return {reinterpret_cast<const char*>(bytes_.data()) + at_ - length, length};
  }
  void skip_value(uint32_t type) {
    constexpr size_t kWidths[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    if (type == 8) {
      text();
    } else if (type == 9) {
      const auto item = take<uint32_t>();
      const auto count = take<uint64_t>();
      for (uint64_t i = 0; i < count; ++i) skip_value(item);
    } else {
      at_ += kWidths[type];
    }
  }

  const std::vector<uint8_t>& bytes_;
  size_t at_ = 0;
  size_t data_ = 0;
  std::vector<Tensor> tensors_;
};

// ggml's type numbers.
const std::map<uint32_t, Dtype> kGgmlTypes = {
    {0, Dtype::kF32},   {1, Dtype::kF16},   {2, Dtype::kQ4_0},  {3, Dtype::kQ4_1},
    {6, Dtype::kQ5_0},  {7, Dtype::kQ5_1},  {8, Dtype::kQ8_0},  {10, Dtype::kQ2_K},
    {11, Dtype::kQ3_K}, {12, Dtype::kQ4_K}, {13, Dtype::kQ5_K}, {14, Dtype::kQ6_K},
    {30, Dtype::kBF16},
};

// The bytes of `name` in a safetensors file whose tensors are all F32.
const uint8_t* safetensor(const std::vector<uint8_t>& file, const std::string& name,
                          size_t* bytes) {
  uint64_t header_bytes;
  std::memcpy(&header_bytes, file.data(), 8);
  const std::string header(reinterpret_cast<const char*>(file.data()) + 8, header_bytes);
  const size_t entry = header.find("\"" + name + "\"");
  if (entry == std::string::npos) return nullptr;
  const size_t offsets = header.find('[', header.find("data_offsets", entry)) + 1;
  char* end;
  const uint64_t first = std::strtoull(header.c_str() + offsets, &end, 10);
  while (*end == ',' || *end == ' ') ++end;
  const uint64_t last = std::strtoull(end, nullptr, 10);
  *bytes = last - first;
  return file.data() + 8 + header_bytes + first;
}

TEST(Dequantize, EqualsGgufPyForEveryFormatToTheBit) {
  const std::vector<uint8_t> stored = read_golden("quants.gguf");
  const std::vector<uint8_t> expected = read_golden("quants.expected.safetensors");
  ASSERT_GT(stored.size(), 1000u);
  ASSERT_GT(expected.size(), 1000u);
  const GgufReader reader(stored);
  std::map<Dtype, int64_t> numbers;
  for (const GgufReader::Tensor& tensor : reader.tensors()) {
    const Dtype dtype = kGgmlTypes.at(tensor.type);
    int64_t count = 1;
    for (const uint64_t extent : tensor.shape) count *= static_cast<int64_t>(extent);
    std::vector<float> decoded(static_cast<size_t>(count));
    dequantize(dtype, reader.data(tensor), count, decoded.data());
    size_t bytes = 0;
    const uint8_t* wanted = safetensor(expected, tensor.name, &bytes);
    ASSERT_NE(wanted, nullptr) << tensor.name;
    ASSERT_EQ(bytes, decoded.size() * 4) << tensor.name;
    EXPECT_EQ(std::memcmp(decoded.data(), wanted, bytes), 0) << tensor.name;
    numbers[dtype] += count;
  }
  EXPECT_EQ(numbers.size(), 13u) << "a format was not covered";
}

TEST(Dequantize, DecodesEveryHalfFloat) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    float value;
    dequantize(Dtype::kF16, reinterpret_cast<const uint8_t*>(&half), 1, &value);
    const int exponent = (half >> 10) & 31;
    const int fraction = half & 1023;
    const double sign = half & 0x8000 ? -1 : 1;
    if (exponent == 31) {
      EXPECT_EQ(std::isnan(value), fraction != 0);
      if (fraction == 0) {
        EXPECT_EQ(value, sign * INFINITY);
      }
    } else {
      const double wanted =
          exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
      EXPECT_EQ(value, sign * wanted);
    }
    EXPECT_EQ(std::signbit(value), sign < 0);
  }
}

TEST(Dequantize, NamesAndSizesAgree) {
  for (int i = 0; i < 13; ++i) {
    const auto dtype = static_cast<Dtype>(i);
    Dtype found;
    ASSERT_TRUE(dtype_from_name(dtype_info(dtype).name, &found));
    EXPECT_EQ(found, dtype);
  }
  Dtype found;
  EXPECT_FALSE(dtype_from_name("IQ4_NL", &found));
  EXPECT_FALSE(dtype_from_name("", &found));
  EXPECT_THROW(dtype_info(static_cast<Dtype>(13)), Error);
  EXPECT_EQ(dtype_row_bytes(Dtype::kQ4_1, 576), 576 / 32 * 20);
  EXPECT_EQ(dtype_row_bytes(Dtype::kQ6_K, 512), 420);
  EXPECT_EQ(dtype_row_bytes(Dtype::kBF16, 5), 10);
}

TEST(Dequantize, RefusesPartsOfBlocks) {
  uint8_t bytes[210] = {};
  float out[256];
  EXPECT_THROW(dequantize(Dtype::kQ4_0, bytes, 31, out), Error);
  EXPECT_THROW(dequantize(Dtype::kQ6_K, bytes, 32, out), Error);
  EXPECT_THROW(dequantize(Dtype::kF32, bytes, -1, out), Error);
  EXPECT_THROW(dtype_row_bytes(Dtype::kQ5_1, 48), Error);
  dequantize(Dtype::kQ6_K, bytes, 0, out);
}

}  // namespace
}  // namespace valora
