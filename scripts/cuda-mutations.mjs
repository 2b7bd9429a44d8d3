/** Mistakes that one makes in CUDA kernels, as replacements in native/cuda, and the emulated tests that look at each file. */

const linear = { program: "cuda_linear_test", filter: "CudaLinear.*" };
const emulated = ["support/emulated_ops"];

/** By file: the file that includes it, where it is a header; programs with the tests that are to be run, short ones first. */
export const TESTS = {
  "attention.cu": { programs: [{ program: "cuda_attention_test", filter: "*" }] },
  "attention_backward.cu": { programs: [{ program: "cuda_attention_test", filter: "*" }] },
  "lora_gradient.cu": {
    programs: [
      { program: "cuda_linear_test", filter: "*ATreesGradient*" },
      { program: "cuda_ops_linear_test", extra: emulated, filter: "*LoraGradientIsRight*" },
    ],
  },
  "product.cu": { programs: [linear] },
  "head.cu": {
    programs: [
      { program: "cuda_head_test", filter: "CudaHead.*" },
      { program: "cuda_ops_head_test", extra: emulated, filter: "-*Sampl*:*NormaliserIs*" },
    ],
  },
  "sample.cu": {
    programs: [
      { program: "cuda_head_test", filter: "CudaSample.RanksEqual*" },
      { program: "cuda_head_test", filter: "CudaSample.Chooses*" },
    ],
  },
};

const barrier = (file, what, after) => ({
  file,
  what: `no barrier ${what}`,
  from: `${after}__syncthreads();`,
  to: after,
});
const mistake = (file, what, from, to) => ({ file, what, from, to });

export const MUTATIONS = [
  barrier("attention.cu", "before values are fetched", "all are done with the values before.\n    "),
  barrier("attention.cu", "before values are added", "all are done with the keys.\n    "),
  mistake(
    "attention.cu",
    "values not waited for",
    "    cp_async_wait<0>();\n    // The values and",
    "    cp_async_wait<1>();\n    // The values and",
  ),
  mistake("attention.cu", "a key that is not seen by itself", "position > limit[half]", "position >= limit[half]"),
  mistake("attention.cu", "a key too many is seen", "position > limit[half]", "position > limit[half] + 1"),
  mistake("attention.cu", "earlier sums not rescaled", "out[j][2 * half] *= shrink;", ""),
  mistake(
    "attention.cu",
    "half a warp's shuffle mask",
    "__shfl_xor_sync(kAllLanes, top, 1)",
    "__shfl_xor_sync(0xffffu, top, 1)",
  ),
  mistake(
    "attention.cu",
    "a row of another warp",
    "const int first_row = warp * kAttentionRows",
    "const int first_row = (warp ^ 1) * kAttentionRows",
  ),
  barrier("attention_backward.cu", "between the keys of dq", "all are done with the block before.\n    "),
  barrier("attention_backward.cu", "between the pairs of dk, dv", "all are done with the one before.\n    "),
  mistake(
    "attention_backward.cu",
    "a key too many is seen by dq",
    "position <= limit[half] ?",
    "position <= limit[half] + 1 ?",
  ),
  mistake(
    "attention_backward.cu",
    "a pair does not see its own key",
    "position <= load(limits + at)",
    "position < load(limits + at)",
  ),
  mistake(
    "attention_backward.cu",
    "statistics of the other buffer",
    "const int at = stage * kCols + j * 8",
    "const int at = (1 - stage) * kCols + j * 8",
  ),
  mistake("attention_backward.cu", "delta left out", "p * (dp[j][i] - row_delta[half])", "p * dp[j][i]"),
  mistake(
    "attention_backward.cu",
    "dk without the scale",
    "dk.store_row<kWidth>(at, dk_sums, half, scale)",
    "dk.store_row<kWidth>(at, dk_sums, half, 1)",
  ),
  mistake(
    "attention_backward.cu",
    "own keys one row on",
    "tile.begin + i : -1, kv_head}; };\n  k.",
    "tile.begin + i + 1 : -1, kv_head}; };\n  k.",
  ),
  barrier("lora_gradient.cu", "before a slice is read", "all are done with the other buffer.\n      "),
  barrier("lora_gradient.cu", "before warps are added", "after the next tree's first barrier.\n    "),
  mistake(
    "lora_gradient.cu",
    "a row of the next tree",
    "v[i][j] = n < end && c < cols",
    "v[i][j] = n <= end && c < cols",
  ),
  mistake("lora_gradient.cu", "a thin row of the next tree", "n < end && rank < ranks", "n <= end && rank < ranks"),
  mistake(
    "lora_gradient.cu",
    "a slice one row on",
    "(buffer * kSliceNumbers + warp * kWarpRows * kLoraRanks)",
    "(buffer * kSliceNumbers + (warp * kWarpRows + 1) * kLoraRanks)",
  ),
  mistake("lora_gradient.cu", "no scale", "totals[k] += scale * sum;", "totals[k] += sum;"),
  mistake(
    "lora_gradient.cu",
    "a warp left out",
    "for (int w = 0; w < kWarps; ++w)",
    "for (int w = 1; w < kWarps; ++w)",
  ),
  barrier("product.cu", "between slices", "the buffer that is filled next.\n    "),
  mistake("product.cu", "a slice not waited for", "cp_async_wait<kStages - 2>();", "cp_async_wait<kStages - 1>();"),
  mistake("product.cu", "a fragment's columns exchanged", "{b[0], b[1]}", "{b[2], b[3]}"),
  mistake("product.cu", "a group's first row left out", "if (n < group.begin ||", "if (n <= group.begin ||"),
  barrier("head.cu", "before warps' largest are compared", "store(indices + thread / kWarp, best.index);\n  }\n  "),
  barrier("head.cu", "before warps' sums are added", "store(partial + thread / kWarp, sum);\n  "),
  mistake(
    "head.cu",
    "the later of equal logits",
    "a.value == b.value && a.index < b.index",
    "a.value == b.value && a.index > b.index",
  ),
  mistake("head.cu", "earlier steps not rescaled", "state.total * rescale +", "state.total +"),
  mistake(
    "head.cu",
    "no zeros after a step's last weight",
    "if (weights.data && thread < kLinearPad &&",
    "if (false && thread < kLinearPad &&",
  ),
  mistake("head.cu", "a target past the step", "token >= end", "token > end"),
  mistake(
    "head.cu",
    "a lane missing from a vote",
    "__ballot_sync(kAllLanes, there",
    "__ballot_sync(0x7fffffffu, there",
  ),
  mistake(
    "head.cu",
    "the next target's coefficient",
    "load(coefficients + i)",
    "load(coefficients + (i + 1) % target_count)",
  ),
  barrier("sample.cu", "after the bins are emptied", "store(room.bins + thread, Whole{0});\n    "),
  mistake(
    "sample.cu",
    "no barrier before the digit is looked for",
    "__syncthreads();\n    if (thread < kWarp) find_digit",
    "if (thread < kWarp) find_digit",
  ),
  barrier("sample.cu", "before the digit is read", "find_digit(room, prefix, wanted);\n    "),
  mistake(
    "sample.cu",
    "equal logits from the last on",
    "(kLastIndex - static_cast<Whole>(index))",
    "static_cast<Whole>(index)",
  ),
  mistake("sample.cu", "the last of those that stay left out", "rank(i) >= last ?", "rank(i) > last ?"),
  mistake("sample.cu", "the draw rounded down", "static_cast<Whole>(draw) + 1", "static_cast<Whole>(draw)"),
  mistake("sample.cu", "a digit too far", "before + own[j] < wanted", "before + own[j] <= wanted"),
];
