// Matrix fragments by PTX's layouts, and copies that land as late as they may or at once.
//
// A product's sum runs over k ascending in float32 with fused multiply-adds, from d. A device adds
// in an order and with a truncation of its own, so its last bits differ: that is no promise here.
#include "cuda/emulation/tensor.h"

namespace valora::emulation {

float decode_bfloat16(uint16_t bits) { return __bfloat162float({bits}); }
float decode_half(uint16_t bits) { return __half2float({bits}); }

void load_matrices(const Operands& lanes, int count, bool transposed) {
  ++meter().counters.ldmatrix;
  for (int matrix = 0; matrix < count; ++matrix) {
    SharedBlock* block = nullptr;
    std::array<uint64_t, 8> rows;
    uint16_t numbers[8][8];
    for (int row = 0; row < 8; ++row) {
      const auto& giver = lanes.at<MatrixLoad>(8 * matrix + row);
      block = giver.block;
      rows[row] = block->offset_of(giver.row, 16);
      std::memcpy(numbers[row], giver.row, 16);
    }
    meter().matrix(lanes.at<MatrixLoad>(0).site, rows);
    for (int lane = 0; lane < 32; ++lane) {
      uint16_t pair[2];
      for (int i = 0; i < 2; ++i) {
        const int major = lane / 4, minor = 2 * (lane % 4) + i;
        const int row = transposed ? minor : major, column = transposed ? major : minor;
        pair[i] = numbers[row][column];
        // The lane that receives a number is the one that reads it.
        block->read(rows[row] + 2 * static_cast<size_t>(column), 2, lane_of_this_warp(lane).clocks);
      }
      std::memcpy(&lanes.at<MatrixLoad>(lane).registers[matrix], pair, 4);
    }
  }
}

void multiply(const Operands& lanes, float (*decode)(uint16_t)) {
  ++meter().counters.mma;
  const auto half = [decode](uint32_t pair, int which) {
    return decode(static_cast<uint16_t>(pair >> (16 * which)));
  };
  // Lane 4 g + t holds, of a, rows g and g + 8, columns 2 t, 2 t + 1 and 8 more; of b, column g,
  // rows 2 t, 2 t + 1 and 8 more; of d, rows g and g + 8, columns 2 t and 2 t + 1.
  float a[16][16], b[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    const auto& part = lanes.at<Product>(lane);
    const int g = lane / 4, t = lane % 4;
    for (int which = 0; which < 2; ++which) {
      for (int right = 0; right < 2; ++right) {
        const int k = 8 * right + 2 * t + which;
        b[k][g] = half(part.b[right], which);
        for (int low = 0; low < 2; ++low) a[g + 8 * low][k] = half(part.a[2 * right + low], which);
      }
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    float* d = lanes.at<Product>(lane).d;
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + 8 * (i / 2), column = 2 * (lane % 4) + i % 2;
      for (int k = 0; k < 16; ++k) d[i] = std::fmaf(a[row][k], b[k][column], d[i]);
    }
  }
}

namespace {

void land(const Thread::Copy& copy) {
  std::byte* to = copy.block->data() + copy.offset;
  if (copy.valid > 0) std::memcpy(to, copy.source, copy.valid);
  std::memset(to + copy.valid, 0, copy.bytes - copy.valid);
}

}  // namespace

void begin_copy(SharedBlock& block, std::byte* to, const void* from, int bytes, int valid,
                Site site) {
  if (valid < 0 || valid > bytes) fail("a cp.async of " + std::to_string(valid) + " valid bytes");
  const auto size = static_cast<size_t>(bytes);
  if (reinterpret_cast<uintptr_t>(from) % size != 0) {
    fail("misaligned: a cp.async of " + std::to_string(bytes) + " bytes of global memory");
  }
  Thread& thread = this_thread();
  const size_t offset = block.offset_of(to, size);
  block.expect(offset, size, thread.clocks);
  if (valid > 0) {
    // A read of as many sectors as hold the valid bytes; whole copies are the rule.
    count(Traffic::kGlobalRead, site, reinterpret_cast<uintptr_t>(from),
          static_cast<size_t>(valid));
  }
  count(Traffic::kSharedWrite, site, offset, size);
  thread.copies.push_back({&block, offset, static_cast<const std::byte*>(from),
                           static_cast<unsigned>(bytes), static_cast<unsigned>(valid),
                           thread.committed});
  if (copies_at_issue()) land(thread.copies.back());
}

void wait_for_copies(uint32_t pending_groups) {
  Thread& thread = this_thread();
  std::vector<Thread::Copy> left;
  for (const Thread::Copy& copy : thread.copies) {
    // Complete are the groups before the last `pending_groups` that were closed.
    if (copy.group + pending_groups < thread.committed) {
      if (!copies_at_issue()) land(copy);
      copy.block->deliver(copy.offset, copy.bytes, thread.clocks);
    } else {
      left.push_back(copy);
    }
  }
  thread.copies = std::move(left);
}

}  // namespace valora::emulation
