// What a launch cost, counted: global traffic and its coalescing, shared-memory bank conflicts,
// tensor-core instructions, barriers; in all and for each line of the kernel.
//
// A request is what a warp asks for with one instruction: the lanes' n-th visit to one line counts
// as one, whatever order the lanes came in.
//  * Global memory answers in sectors of 32 bytes. Sectors asked for beyond bytes / 32 are
//    uncoalesced. What they cost of the device's own memory is told by a model of its L2 cache: one
//    least-recently-used list of sectors, empty before the launch and written back after it.
//  * Shared memory has 32 banks of 4 bytes. Lanes that want different words of one bank are served
//    in turn: `passes` counts turns, `conflicts` those beyond what the width asks for (8-byte
//    accesses are served a half warp at a time, 16-byte ones a quarter, ldmatrix a matrix).
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <source_location>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <vector>

namespace valora::emulation {

using Site = std::source_location;

enum class Traffic : uint8_t { kGlobalRead, kGlobalWrite, kSharedRead, kSharedWrite };

struct GlobalCount {
  int64_t requests = 0;
  int64_t bytes = 0;    // lanes that ask for the same bytes count once
  int64_t sectors = 0;  // of 32 bytes, summed over requests
  // Sectors beyond the fewest that could hold the bytes.
  int64_t wasted_sectors = 0;
};

struct SharedCount {
  int64_t requests = 0;
  int64_t passes = 0;
  int64_t conflicts = 0;
};

struct Counters {
  GlobalCount read, write;
  int64_t memory_read_bytes = 0;     // from the device's memory, past the L2 model
  int64_t memory_written_bytes = 0;  // to it
  SharedCount shared_read, shared_write;
  int64_t ldmatrix = 0;        // instructions, a warp's counting once
  int64_t mma = 0;             // likewise: m16n8k16, 4096 operations
  int64_t block_barriers = 0;  // a block's counting once
  int64_t warp_barriers = 0;
  int64_t shuffles = 0;

  int64_t memory_bytes() const { return memory_read_bytes + memory_written_bytes; }
  int64_t bank_conflicts() const { return shared_read.conflicts + shared_write.conflicts; }
};

// One line of a kernel: "file.cu:41 global read".
struct LineCount {
  std::string where;
  int64_t requests = 0;
  int64_t wasted_sectors = 0;
  int64_t conflicts = 0;
};

// The L2 model: which sectors it holds, in order of use.
class SectorCache {
 public:
  SectorCache(int64_t sectors, Counters* counters) : capacity_(sectors), counters_(counters) {}
  void touch(uint64_t sector, bool write);
  void write_back();

 private:
  struct Entry {
    uint64_t sector;
    bool dirty;
  };
  void evict();

  int64_t capacity_;
  Counters* counters_;
  std::list<Entry> order_;  // latest first
  std::unordered_map<uint64_t, std::list<Entry>::iterator> held_;
};

// Counts of one launch, fed access by access.
class Meter {
 public:
  explicit Meter(int64_t l2_bytes) : cache_(l2_bytes / 32, &counters) {}

  // `address` is a real one for global memory, an offset for shared memory.
  void access(Traffic traffic, Site site, int warp, int lane, uint64_t address, unsigned bytes);
  // One ldmatrix matrix: eight rows of 16 bytes at these offsets.
  void matrix(Site site, const std::array<uint64_t, 8>& rows);
  // No lane of any warp asks any more.
  void end_block();
  void end_launch() { cache_.write_back(); }

  std::vector<LineCount> lines() const;

  Counters counters;

 private:
  struct Request {
    uint32_t lanes = 0;
    std::array<uint64_t, 32> addresses;
  };
  // The requests of one warp at one line that some lanes have made and others have not yet.
  struct Stream {
    std::array<uint32_t, 32> visits{};
    uint32_t first = 0;
    std::deque<Request> open;
  };
  struct Line {
    std::string_view file;
    unsigned line;
    unsigned column;
    Traffic traffic;
    unsigned bytes;
    auto operator<=>(const Line&) const = default;
  };

  void close(const Line& line, const Request& request);
  void close_shared(const Line& line, const Request& request);
  void close_global(const Line& line, const Request& request);

  SectorCache cache_;
  std::map<std::pair<int, Line>, Stream> streams_;  // by warp
  std::map<Line, LineCount> lines_;
};

}  // namespace valora::emulation
