// MappedFile: the bytes of a file, and an Error for every range it does not hold.
#include "core/mapped_file.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>

#include "core/error.h"

namespace valora {
namespace {

class MappedFileTest : public testing::Test {
 protected:
  MappedFileTest() {
    folder_ = std::filesystem::temp_directory_path() /
              (std::string("valora-mapped-file-") +
               testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directories(folder_);
  }
  ~MappedFileTest() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& bytes) {
    const std::string path = (folder_ / name).string();
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }

  std::filesystem::path folder_;
};

void expect_file_error(const auto& action, const std::string& part) {
  try {
    action();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kFile);
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST_F(MappedFileTest, HoldsTheFilesBytes) {
  const MappedFile file(write("bytes", "value and LoRA"));
  EXPECT_EQ(file.size(), 14);
  EXPECT_EQ(std::memcmp(file.range(0, 14), "value and LoRA", 14), 0);
  EXPECT_EQ(std::memcmp(file.range(10, 4), "LoRA", 4), 0);
  file.range(14, 0);
}

TEST_F(MappedFileTest, RefusesRangesOutsideTheFile) {
  const std::string path = write("bytes", "0123456789");
  const MappedFile file(path);
  const int64_t most = std::numeric_limits<int64_t>::max();
  const int64_t least = std::numeric_limits<int64_t>::min();
  const int64_t ranges[][2] = {{0, 11},      {10, 1},    {11, 0},    {-1, 1},
                               {0, -1},      {5, 6},     {most, 1},  {1, most},
                               {most, most}, {least, 1}, {0, least}, {-5, most}};
  for (const auto& [offset, bytes] : ranges) {
    expect_file_error([&, o = offset, b = bytes] { file.range(o, b); }, path);
  }
}

TEST_F(MappedFileTest, RefusesWhatIsNoFile) {
  expect_file_error([&] { MappedFile((folder_ / "absent").string()); }, "cannot be opened");
  expect_file_error([&] { MappedFile(folder_.string()); }, "not a regular file");
  expect_file_error([&] { MappedFile(write("empty", "")); }, "is empty");
}

}  // namespace
}  // namespace valora
