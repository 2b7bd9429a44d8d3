// Numbers: a flat array of float32 that lives where its backend computes, for as long as it is
// needed: norms, biases, adapters, gradients, moments. In host memory (a null device) it is a
// vector, and nothing is copied that a vector would not copy.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "core/device.h"
#include "core/view.h"

namespace valora {

class Numbers {
 public:
  Numbers() = default;
  // Zeros. The device, if there is one, must outlive the numbers; throws Error{kOutOfMemory}.
  Numbers(Device* device, int64_t size);
  Numbers(Device* device, std::vector<float> values);
  ~Numbers() { free(); }
  Numbers(Numbers&& other) noexcept { *this = std::move(other); }
  Numbers& operator=(Numbers&& other) noexcept;

  int64_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  // [1, size], in the device's memory or the host's; empty where there are none.
  View view() const;

  std::vector<float> read() const { return read(0, size_); }
  std::vector<float> read(int64_t begin, int64_t count) const;
  // As many as there are.
  void write(const std::vector<float>& values);
  void clear();
  // from: of the same size and place.
  void copy(const Numbers& from);

 private:
  int64_t bytes() const { return size_ * static_cast<int64_t>(sizeof(float)); }
  void free() noexcept;

  Device* device_ = nullptr;
  int64_t size_ = 0;
  float* memory_ = nullptr;  // the device's
  std::vector<float> host_;
};

}  // namespace valora
