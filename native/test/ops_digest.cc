// Prints a digest of every scenario's bytes on this machine's best instruction set, one a line: two
// machines agree to the bit where they print the same (.ci/run compares x86-64 with AArch64).
#include <cinttypes>
#include <cstdio>

#include "support/scenarios.h"

int main() {
  const valora::Ops& ops = valora::best_cpu_ops();
  for (const valora::test::Scenario& scenario : valora::test::scenarios()) {
    std::printf("%016" PRIx64 "  %s\n", scenario.run(ops, 2).digest(), scenario.name.c_str());
  }
}
