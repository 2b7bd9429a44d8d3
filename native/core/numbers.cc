// Numbers: in a vector, or in a device's memory.
#include "core/numbers.h"

#include <algorithm>

namespace valora {

Device::~Device() = default;

Numbers::Numbers(Device* device, int64_t size) : device_(device), size_(size) {
  if (device_ == nullptr) {
    host_.resize(static_cast<size_t>(size));
  } else if (size > 0) {
    memory_ = static_cast<float*>(device_->allocate(bytes()));
    clear();
  }
}

Numbers::Numbers(Device* device, std::vector<float> values)
    : device_(device), size_(static_cast<int64_t>(values.size())) {
  if (device_ == nullptr) {
    host_ = std::move(values);
  } else if (size_ > 0) {
    memory_ = static_cast<float*>(device_->allocate(bytes()));
    write(values);
  }
}

Numbers& Numbers::operator=(Numbers&& other) noexcept {
  if (this == &other) return *this;
  free();
  device_ = other.device_;
  size_ = std::exchange(other.size_, 0);
  memory_ = std::exchange(other.memory_, nullptr);
  host_ = std::exchange(other.host_, {});
  return *this;
}

View Numbers::view() const {
  if (empty()) return {};
  if (device_ != nullptr) return make_view(memory_, 1, size_, Space::kDevice);
  return make_view(const_cast<float*>(host_.data()), 1, size_);
}

std::vector<float> Numbers::read(int64_t begin, int64_t count) const {
  if (device_ == nullptr) return {host_.begin() + begin, host_.begin() + begin + count};
  std::vector<float> values(static_cast<size_t>(count));
  if (count > 0) {
    device_->read(values.data(), memory_ + begin, count * static_cast<int64_t>(sizeof(float)));
  }
  return values;
}

void Numbers::write(const std::vector<float>& values) {
  if (device_ == nullptr) {
    std::copy(values.begin(), values.end(), host_.begin());
  } else if (!empty()) {
    device_->write(memory_, values.data(), bytes());
  }
}

void Numbers::clear() {
  if (device_ == nullptr) {
    std::fill(host_.begin(), host_.end(), 0.0f);
  } else if (!empty()) {
    device_->clear(memory_, bytes());
  }
}

void Numbers::copy(const Numbers& from) {
  if (device_ == nullptr) {
    std::copy(from.host_.begin(), from.host_.end(), host_.begin());
  } else if (!empty()) {
    device_->copy(memory_, from.memory_, bytes());
  }
}

void Numbers::free() noexcept {
  if (memory_ != nullptr) device_->release(memory_);
  memory_ = nullptr;
}

}  // namespace valora
