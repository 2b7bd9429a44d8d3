// Names of the error codes, as JavaScript sees them.
#include "core/error.h"

namespace valora {

const char* error_code_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "ERR_INVALID_ARGUMENT";
    case ErrorCode::kFile:
      return "ERR_FILE";
    case ErrorCode::kOutOfMemory:
      return "ERR_OUT_OF_MEMORY";
    case ErrorCode::kCancelled:
      return "ERR_CANCELLED";
    case ErrorCode::kNotFinite:
      return "ERR_NOT_FINITE";
    case ErrorCode::kDisposed:
      return "ERR_DISPOSED";
    case ErrorCode::kDevice:
      return "ERR_DEVICE";
    case ErrorCode::kInternal:
      break;
  }
  return "ERR_INTERNAL";
}

}  // namespace valora
