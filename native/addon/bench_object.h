// What lib/native.ts calls NativeKernelBench, and the machine's peaks: the addon's part of `valora
// bench`. Everything runs on the calling thread.
#pragma once

#include <napi.h>

namespace valora::addon {

// createKernelBench(spec), measurePeak(isa, threads), measureBandwidth(threads).
Napi::Value create_kernel_bench(const Napi::CallbackInfo& info);
Napi::Value measure_peak(const Napi::CallbackInfo& info);
Napi::Value measure_bandwidth(const Napi::CallbackInfo& info);

}  // namespace valora::addon
