/** What scripts/compile-cuda.mjs reads out of ptxas and PTX, and the occupancy it makes of that. No kernel is compiled. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { ROOT } from "../golden.js";

interface KernelRecord {
  name: string;
  architecture: string;
  registers: number;
  shared: number;
  spills: number;
  frame: number;
}
const { parsePtxas, parsePtx, leaks, occupancy } = (await import(
  pathToFileURL(join(ROOT, "scripts/compile-cuda.mjs")).href
)) as {
  parsePtxas: (text: string) => KernelRecord[];
  parsePtx: (text: string) => Map<string, { threads: number; shared: number }>;
  leaks: (records: KernelRecord[]) => string[];
  occupancy: (architecture: string, threads: number, registers: number, shared: number) => number;
};

const PTXAS = `ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z3fooPf' for 'sm_80'
ptxas info    : Function properties for _Z3fooPf
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 80 registers, used 1 barriers, 20480 bytes smem, 388 bytes cmem[0]
ptxas info    : Compiling entry function '_Z3barPf' for 'sm_90a'
ptxas info    : Function properties for _Z3barPf
    24 bytes stack frame, 12 bytes spill stores, 16 bytes spill loads
ptxas info    : Used 255 registers, used 0 barriers
ptxas info    : Compiling entry function '_Z3bazPf' for 'sm_90'
ptxas info    : Function properties for _Z3bazPf
    16 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 20 registers
`;

test("ptxas's figures become one record a kernel and architecture", () => {
  assert.deepEqual(parsePtxas(PTXAS), [
    { name: "_Z3fooPf", architecture: "sm_80", shared: 20480, spills: 0, frame: 0, registers: 80 },
    { name: "_Z3barPf", architecture: "sm_90", shared: 0, spills: 28, frame: 24, registers: 255 },
    { name: "_Z3bazPf", architecture: "sm_90", shared: 0, spills: 0, frame: 16, registers: 20 },
  ]);
});

test("spills and stack frames are named with their kernel and architecture, what has neither is not", () => {
  const [bar, baz, ...more] = leaks(parsePtxas(PTXAS));
  assert.match(bar ?? "", /^(bar|_Z3barPf) on sm_90: 28 bytes spilled, a stack frame of 24 bytes$/);
  assert.match(baz ?? "", /^(baz|_Z3bazPf) on sm_90: 0 bytes spilled, a stack frame of 16 bytes$/);
  assert.deepEqual(more, []);
});

test("a kernel's threads and dynamic shared memory are those of its own PTX", () => {
  const ptx = `.version 9.0
.visible .entry _Z3fooPf(
	.param .u64 _Z3fooPf_param_0
)
.maxntid 128, 1, 1
.minnctapersm 2
{
	// begin inline asm
	// dynamic shared memory: 52224
	// end inline asm
	ret;
}
.entry _Z3barPf(
	.param .u64 _Z3barPf_param_0
)
.maxntid 256
{
	ret;
}
`;
  assert.deepEqual(
    [...parsePtx(ptx)],
    [
      ["_Z3fooPf", { threads: 128, shared: 52224 }],
      ["_Z3barPf", { threads: 256, shared: 0 }],
    ],
  );
});

test("occupancy follows from registers, shared memory, or threads, whichever ends first", () => {
  // 65,536 registers: 255 rounded up to 256, times 32, is 8,192 a warp: two warps a scheduler, two blocks of four.
  assert.equal(occupancy("sm_80", 128, 255, 0), 256 / 2048);
  // 100 KiB: one block of 52,224 bytes and its own 1 KiB.
  assert.equal(occupancy("sm_86", 128, 32, 52224), 128 / 1536);
  assert.equal(occupancy("sm_90", 256, 32, 0), 1);
  // 16 blocks on sm_86.
  assert.equal(occupancy("sm_86", 32, 16, 0), (16 * 32) / 1536);
});
