// EmulationError: a kernel broke a rule of CUDA. fail() adds where the running thread stands.
#pragma once

#include <stdexcept>
#include <string>

namespace valora::emulation {

class EmulationError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

[[noreturn]] void fail(const std::string& what);

}  // namespace valora::emulation
