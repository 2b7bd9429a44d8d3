// How requests become counts: sectors of global memory, passes over shared memory's banks.
#include "cuda/emulation/counters.h"

#include <algorithm>
#include <set>

namespace valora::emulation {

void SectorCache::touch(uint64_t sector, bool write) {
  const auto found = held_.find(sector);
  if (found != held_.end()) {
    order_.splice(order_.begin(), order_, found->second);
    found->second->dirty |= write;
    return;
  }
  if (!write) counters_->memory_read_bytes += 32;
  if (static_cast<int64_t>(held_.size()) == capacity_) evict();
  order_.push_front({sector, write});
  held_[sector] = order_.begin();
}

void SectorCache::evict() {
  if (order_.back().dirty) counters_->memory_written_bytes += 32;
  held_.erase(order_.back().sector);
  order_.pop_back();
}

void SectorCache::write_back() {
  while (!order_.empty()) evict();
}

void Meter::access(Traffic traffic, Site site, int warp, int lane, uint64_t address,
                   unsigned bytes) {
  const Line line{site.file_name(), site.line(), site.column(), traffic, bytes};
  Stream& stream = streams_[{warp, line}];
  const uint32_t place = stream.visits[lane]++ - stream.first;
  while (stream.open.size() <= place) stream.open.emplace_back();
  Request& request = stream.open[place];
  request.lanes |= 1u << lane;
  request.addresses[lane] = address;
  while (!stream.open.empty() && stream.open.front().lanes == ~0u) {
    close(line, stream.open.front());
    stream.open.pop_front();
    ++stream.first;
  }
}

void Meter::end_block() {
  for (const auto& [key, stream] : streams_) {
    for (const Request& request : stream.open) close(key.second, request);
  }
  streams_.clear();
}

void Meter::close(const Line& line, const Request& request) {
  if (line.traffic == Traffic::kGlobalRead || line.traffic == Traffic::kGlobalWrite) {
    close_global(line, request);
  } else {
    close_shared(line, request);
  }
}

void Meter::close_global(const Line& line, const Request& request) {
  const bool write = line.traffic == Traffic::kGlobalWrite;
  std::set<uint64_t> starts, sectors;
  for (int lane = 0; lane < 32; ++lane) {
    if ((request.lanes >> lane & 1) == 0) continue;
    const uint64_t address = request.addresses[lane];
    starts.insert(address);
    for (uint64_t s = address / 32; s <= (address + line.bytes - 1) / 32; ++s) sectors.insert(s);
  }
  // Accesses are aligned to their size, so two lanes' bytes are the same or apart.
  const int64_t bytes = static_cast<int64_t>(starts.size()) * line.bytes;
  const int64_t wasted = static_cast<int64_t>(sectors.size()) - (bytes + 31) / 32;
  GlobalCount& count = write ? counters.write : counters.read;
  ++count.requests;
  count.bytes += bytes;
  count.sectors += static_cast<int64_t>(sectors.size());
  count.wasted_sectors += wasted;
  LineCount& total = lines_[line];
  ++total.requests;
  total.wasted_sectors += wasted;
  for (const uint64_t sector : sectors) cache_.touch(sector, write);
}

namespace {

// How many turns the banks take to serve these words: the largest number of different words that
// one bank is asked for.
int64_t bank_passes(const std::vector<uint64_t>& words) {
  std::array<std::set<uint64_t>, 32> banks;
  for (const uint64_t word : words) banks[word % 32].insert(word);
  size_t passes = 0;
  for (const auto& bank : banks) passes = std::max(passes, bank.size());
  return static_cast<int64_t>(passes);
}

}  // namespace

void Meter::close_shared(const Line& line, const Request& request) {
  const int lanes_a_turn = line.bytes <= 4 ? 32 : line.bytes == 8 ? 16 : 8;
  int64_t passes = 0, turns = 0;
  for (int begin = 0; begin < 32; begin += lanes_a_turn) {
    std::vector<uint64_t> words;
    for (int lane = begin; lane < begin + lanes_a_turn; ++lane) {
      if ((request.lanes >> lane & 1) == 0) continue;
      const uint64_t address = request.addresses[lane];
      for (uint64_t w = address / 4; w <= (address + line.bytes - 1) / 4; ++w) words.push_back(w);
    }
    if (words.empty()) continue;
    ++turns;
    passes += bank_passes(words);
  }
  SharedCount& count =
      line.traffic == Traffic::kSharedWrite ? counters.shared_write : counters.shared_read;
  ++count.requests;
  count.passes += passes;
  count.conflicts += passes - turns;
  LineCount& total = lines_[line];
  ++total.requests;
  total.conflicts += passes - turns;
}

void Meter::matrix(Site site, const std::array<uint64_t, 8>& rows) {
  std::vector<uint64_t> words;
  for (const uint64_t row : rows) {
    for (uint64_t w = 0; w < 4; ++w) words.push_back(row / 4 + w);
  }
  const int64_t passes = bank_passes(words);
  ++counters.shared_read.requests;
  counters.shared_read.passes += passes;
  counters.shared_read.conflicts += passes - 1;
  LineCount& total =
      lines_[{site.file_name(), site.line(), site.column(), Traffic::kSharedRead, 16}];
  ++total.requests;
  total.conflicts += passes - 1;
}

std::vector<LineCount> Meter::lines() const {
  static constexpr const char* kNames[] = {"global read", "global write", "shared read",
                                           "shared write"};
  std::vector<LineCount> list;
  for (const auto& [line, count] : lines_) {
    list.push_back(count);
    list.back().where = std::string(line.file.substr(line.file.find_last_of('/') + 1)) + ":" +
                        std::to_string(line.line) + " " + kNames[static_cast<int>(line.traffic)];
  }
  return list;
}

}  // namespace valora::emulation
