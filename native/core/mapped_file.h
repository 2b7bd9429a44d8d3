// MappedFile: a file's bytes, read-only, without reading them. Safe against a file that does not
// hold what its header promised: every range is checked against the real size first.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace valora {

class MappedFile {
 public:
  // Throws Error{kFile} when it cannot be opened or is empty.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  // The bytes [offset, offset+bytes); throws Error{kFile} when the file is shorter.
  const uint8_t* range(int64_t offset, int64_t bytes) const;
  // Says that these bytes won't be read soon: their pages leave this process's memory, and come
  // back when they are read after all.
  void leave(int64_t offset, int64_t bytes) const;
  int64_t size() const { return size_; }

 private:
  std::string path_;
  const uint8_t* data_ = nullptr;
  int64_t size_ = 0;
};

}  // namespace valora
