{
  "variables": {
    "core_files": [
      "core/arena.cc",
      "core/counting.cc",
      "core/dequantize.cc",
      "core/error.cc",
      "core/forest.cc",
      "core/mapped_file.cc",
      "core/numbers.cc",
      "core/ops.cc",
      "core/scratch.cc",
      "core/thread_pool.cc",
      "core/weight.cc"
    ],
    "reference_files": [
      "reference/attention.cc",
      "reference/elementwise.cc",
      "reference/head.cc",
      "reference/linear.cc",
      "reference/ops_table.cc",
      "reference/rmsnorm.cc"
    ],
    "cpu_files": [
      "cpu/attention_backward.cc",
      "cpu/attention_forward.cc",
      "cpu/elementwise.cc",
      "cpu/head.cc",
      "cpu/linear.cc",
      "cpu/lora_gradient.cc",
      "cpu/ops_table.cc",
      "cpu/rmsnorm.cc",
      "cpu/upload.cc"
    ],
    "dispatch_files": ["cpu/choose_token.cc", "cpu/dispatch.cc"],
    "model_files": [
      "model/adapter.cc",
      "model/batch.cc",
      "model/embed.cc",
      "model/engine.cc",
      "model/generate.cc",
      "model/loss.cc",
      "model/model.cc",
      "model/passes.cc",
      "model/plan.cc",
      "model/trainer.cc",
      "model/transformer.cc",
      "model/transformer_backward.cc",
      "model/weights.cc"
    ],
    "bench_files": [
      "bench/attention.cc",
      "bench/elementwise.cc",
      "bench/head.cc",
      "bench/inputs.cc",
      "bench/kernel_bench.cc",
      "bench/linear.cc",
      "bench/peak.cc"
    ],
    "addon_files": [
      "addon/addon.cc",
      "addon/bench_object.cc",
      "addon/cancel_object.cc",
      "addon/convert.cc",
      "addon/engine_thread.cc",
      "addon/model_object.cc",
      "addon/trainer_object.cc",
      "addon/values.cc"
    ]
  }
}
