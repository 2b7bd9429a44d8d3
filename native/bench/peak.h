// What this machine can do at most: the limits that the operations' speeds are held against.
#pragma once

namespace valora::bench {

// Floating-point operations a second of all threads together, in independent chains of
// multiply-adds (two operations each) in the registers of an instruction set: "avx512", "avx2",
// "neon" or "generic". Throws Error{kInvalidArgument} where this machine has not got it.
double measure_peak(const char* isa, int threads);

// Bytes a second that all threads together read from memory: the sum of a buffer far larger than
// any cache.
double measure_bandwidth(int threads);

}  // namespace valora::bench
