// Fibers by an assembly switch on x86-64 and by ucontext elsewhere (VALORA_UCONTEXT asks for it).
// Measured on two cores at 2.5 GHz: 9-16 million switches/s against ucontext's 1.4 million, which
// calls the kernel for the signal mask.
#include "cuda/emulation/fiber.h"

#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#define VALORA_ASAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define VALORA_ASAN
#endif
#endif

#ifdef VALORA_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#ifndef VALORA_UCONTEXT
// Keeps the callee-saved registers of the System V ABI on the stack that is left.
extern "C" void valora_switch_stack(void** from, void* to);
#ifdef __APPLE__
#define VALORA_SYMBOL "_valora_switch_stack"
#else
#define VALORA_SYMBOL "valora_switch_stack"
#endif
asm(".text\n"
    ".globl " VALORA_SYMBOL "\n" VALORA_SYMBOL
    ":\n"
    "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
    "  movq %rsp, (%rdi)\n  movq %rsi, %rsp\n"
    "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n  ret\n");
#endif

namespace valora::emulation {

namespace {

// The fiber that runs on this system thread, and the stack that resumed it.
struct Scheduler {
  Fiber* running = nullptr;
  const void* stack_bottom = nullptr;
  size_t stack_bytes = 0;
#ifdef VALORA_UCONTEXT
  ucontext_t context;
#else
  void* stack_pointer = nullptr;
#endif
};
thread_local Scheduler scheduler;

// `fake` is null for a stack that is never entered again.
void announce_switch([[maybe_unused]] void** fake, [[maybe_unused]] const void* bottom,
                     [[maybe_unused]] size_t bytes) {
#ifdef VALORA_ASAN
  __sanitizer_start_switch_fiber(fake, bottom, bytes);
#endif
}
void arrived([[maybe_unused]] void* fake, [[maybe_unused]] const void** bottom,
             [[maybe_unused]] size_t* bytes) {
#ifdef VALORA_ASAN
  __sanitizer_finish_switch_fiber(fake, bottom, bytes);
#endif
}

}  // namespace

Fiber::Fiber() : stack_(new std::byte[kStackBytes]) {}

void Fiber::start(void (*body)(void*), void* argument) {
  body_ = body;
  argument_ = argument;
  done_ = false;
  failure_ = nullptr;
  fake_stack_ = nullptr;
#ifdef VALORA_ASAN
  __asan_unpoison_memory_region(stack_.get(), kStackBytes);
#endif
#ifdef VALORA_UCONTEXT
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack_.get();
  context_.uc_stack.ss_size = kStackBytes;
  context_.uc_link = nullptr;
  makecontext(&context_, &Fiber::enter, 0);
#else
  // Six registers, the address to return to, and a 0 where enter() would look for its caller: at
  // its first instruction the stack pointer is then 8 short of a multiple of 16, as after a call.
  auto top = reinterpret_cast<uintptr_t>(stack_.get() + kStackBytes) & ~uintptr_t{15};
  auto* words = reinterpret_cast<void**>(top) - 8;
  std::memset(words, 0, 8 * sizeof *words);
  words[6] = reinterpret_cast<void*>(&Fiber::enter);
  stack_pointer_ = words;
#endif
}

void Fiber::resume() {
  scheduler.running = this;
  void* fake = nullptr;
  announce_switch(&fake, stack_.get(), kStackBytes);
  switch_in();
  arrived(fake, nullptr, nullptr);
  scheduler.running = nullptr;
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void Fiber::wait() {
  Fiber& fiber = *scheduler.running;
  announce_switch(&fiber.fake_stack_, scheduler.stack_bottom, scheduler.stack_bytes);
  fiber.switch_out();
  arrived(fiber.fake_stack_, &scheduler.stack_bottom, &scheduler.stack_bytes);
}

void Fiber::enter() {
  arrived(nullptr, &scheduler.stack_bottom, &scheduler.stack_bytes);
  Fiber& fiber = *scheduler.running;
  try {
    fiber.body_(fiber.argument_);
  } catch (...) {
    fiber.failure_ = std::current_exception();
  }
  fiber.done_ = true;
  announce_switch(nullptr, scheduler.stack_bottom, scheduler.stack_bytes);
  fiber.switch_out();
}

#ifdef VALORA_UCONTEXT
void Fiber::switch_in() { swapcontext(&scheduler.context, &context_); }
void Fiber::switch_out() { swapcontext(&context_, &scheduler.context); }
#else
void Fiber::switch_in() { valora_switch_stack(&scheduler.stack_pointer, stack_pointer_); }
void Fiber::switch_out() { valora_switch_stack(&stack_pointer_, scheduler.stack_pointer); }
#endif

}  // namespace valora::emulation
