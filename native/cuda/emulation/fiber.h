// Fiber: a function with a stack of its own that can be left in the middle and entered again, all
// on one system thread. A block's threads are fibers, so that one schedule of them is one
// deterministic program, and AddressSanitizer is told of every change of stack.
#pragma once

#include <cstddef>
#include <exception>
#include <memory>

#if (!defined(__x86_64__) || defined(_WIN32)) && !defined(VALORA_UCONTEXT)
#define VALORA_UCONTEXT
#endif
#ifdef VALORA_UCONTEXT
#include <ucontext.h>
#endif

namespace valora::emulation {

class Fiber {
 public:
  Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Makes ready to run body(argument) from its first line. A fiber that has not returned is given
  // up as it stands: nothing on its stack is destroyed.
  void start(void (*body)(void*), void* argument);

  // Runs the fiber until it waits or returns. What it throws is thrown again here.
  void resume();

  // From inside a running fiber: back to where it was resumed.
  static void wait();

  bool done() const { return done_; }

 private:
  static constexpr size_t kStackBytes = 128 << 10;

  static void enter();
  void switch_in();
  void switch_out();

  std::unique_ptr<std::byte[]> stack_;
  void (*body_)(void*) = nullptr;
  void* argument_ = nullptr;
  bool done_ = true;
  std::exception_ptr failure_;
  void* fake_stack_ = nullptr;  // AddressSanitizer's, while the fiber waits
#ifdef VALORA_UCONTEXT
  ucontext_t context_;
#else
  void* stack_pointer_ = nullptr;
#endif
};

}  // namespace valora::emulation
