// Error: the one way a failure leaves the core, a code with the facts of the case. The core never
// prints and never exits; the addon turns an Error into a JavaScript error with the same code.
#pragma once

#include <stdexcept>
#include <string>

namespace valora {

enum class ErrorCode {
  kInvalidArgument,  // a caller broke a precondition that TypeScript should have checked
  kFile,             // a weight file is missing, too short, or does not match its header
  kOutOfMemory,      // the plan or an allocation exceeds what there is
  kCancelled,        // the cancel flag was set
  kNotFinite,        // NaN or infinity where a number was due
  kDisposed,         // used after it was disposed of
  kDevice,           // no such device, or it refused the work or was lost
  kInternal,
};

// "ERR_OUT_OF_MEMORY" and so on: the `code` of the JavaScript error.
const char* error_code_name(ErrorCode code);

class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace valora
