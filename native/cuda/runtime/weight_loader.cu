// Matrices to the device.
#include <algorithm>
#include <cstring>

#include "core/dequantize.h"
#include "cuda/runtime/runtime.h"
#include "cuda/runtime/weight_loader.h"

namespace valora::cuda {

namespace {

bool is_plain(Dtype dtype) {
  return dtype == Dtype::kF32 || dtype == Dtype::kF16 || dtype == Dtype::kBF16;
}

}  // namespace

CudaWeight::~CudaWeight() { runtime.release(const_cast<void*>(device.data)); }

WeightLoader::Slot::Slot(Runtime& runtime, int64_t bytes)
    : host(bytes), device(runtime.allocate(bytes)) {}

WeightLoader::~WeightLoader() {
  for (const auto& slot : slots_) {
    if (slot != nullptr) runtime_.release(slot->device);
  }
}

std::unique_ptr<Weight> WeightLoader::load(const WeightSource& source, Compute compute) {
  auto weight = std::make_unique<CudaWeight>(runtime_);
  weight->source = source;
  weight->row_bytes = dtype_row_bytes(source.dtype, source.cols);
  const Dtype dtype = compute == Compute::kBf16 ? Dtype::kBF16 : Dtype::kF32;
  const int64_t pitch = padded_bytes(dtype, 1, source.cols);
  weight->own_bytes = source.rows * pitch;
  auto* to = static_cast<uint8_t*>(runtime_.allocate(std::max<int64_t>(weight->own_bytes, 1)));
  weight->device = {to, dtype, source.rows, padded_cols(source.cols)};

  const bool plain = is_plain(source.dtype);
  const Dtype sent_as = plain ? source.dtype : Dtype::kF32;
  const int64_t row_bytes = dtype_row_bytes(sent_as, source.cols);
  if (row_bytes > slot_bytes_) {
    throw Error(ErrorCode::kInvalidArgument,
                "cuda: a matrix of " + std::to_string(source.cols) + " columns is too wide");
  }
  const int64_t rows_a_slot = slot_bytes_ / row_bytes;
  for (int64_t begin = 0; begin < source.rows; begin += rows_a_slot) {
    std::unique_ptr<Slot>& slot = slots_[next_];
    if (slot == nullptr) slot = std::make_unique<Slot>(runtime_, slot_bytes_);
    next_ = 1 - next_;
    const int64_t rows = std::min(rows_a_slot, source.rows - begin);
    slot->sent.wait();  // the host's side is free again
    for (int64_t o = 0; o < rows; ++o) {
      uint8_t* row = slot->host.data() + o * row_bytes;
      if (plain) {
        std::memcpy(row, weight->row(begin + o), static_cast<size_t>(row_bytes));
      } else {
        dequantize(source.dtype, weight->row(begin + o), source.cols,
                   reinterpret_cast<float*>(row));
      }
    }
    slot->converted.hold_back(stream_.get());  // the device's side is
    check(cudaMemcpyAsync(slot->device, slot->host.data(), static_cast<size_t>(rows * row_bytes),
                          cudaMemcpyHostToDevice, stream_.get()),
          "a copy of weights to the device");
    slot->sent.record(stream_.get());
    slot->sent.hold_back(runtime_.stream());
    convert_weight(to + begin * pitch, dtype, {slot->device, sent_as, rows, source.cols},
                   runtime_.stream());
    slot->converted.record(runtime_.stream());
  }
  return weight;
}

}  // namespace valora::cuda
