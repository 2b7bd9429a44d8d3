# Builds the addon where there is no CMake, from the same list of sources (native/sources.gypi).
{
  "includes": ["native/sources.gypi"],
  "target_defaults": {
    "include_dirs": ["native"],
    "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++17", "-std=gnu++20"],
    "cflags_cc": [
      "-std=c++20",
      "-O3",
      "-Wall",
      "-Wextra",
      "-ffp-contract=off",
      "-fvisibility=hidden",
      "-fvisibility-inlines-hidden"
    ],
    "xcode_settings": {
      "GCC_ENABLE_CPP_EXCEPTIONS": "YES",
      "GCC_ENABLE_CPP_RTTI": "YES",
      "CLANG_CXX_LANGUAGE_STANDARD": "c++20",
      "OTHER_CPLUSPLUSFLAGS": ["-O3", "-ffp-contract=off", "-fvisibility=hidden"]
    }
  },
  "targets": [
    {
      "target_name": "valora_cpu_generic",
      "type": "static_library",
      "sources": ["<@(cpu_files)"],
      "defines": ["VALORA_ISA=generic"],
      "conditions": [["target_arch=='x64'", {"cflags_cc": ["-march=x86-64-v2"]}]]
    },
    {
      "target_name": "valora",
      "sources": [
        "<@(core_files)",
        "<@(reference_files)",
        "<@(dispatch_files)",
        "<@(model_files)",
        "<@(bench_files)",
        "<@(addon_files)"
      ],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_CPP_EXCEPTIONS", "VALORA_BUILD=\"release\""],
      "dependencies": ["valora_cpu_generic"],
      "conditions": [
        ["target_arch=='x64'", {"dependencies": ["valora_cpu_avx2", "valora_cpu_avx512"]}],
        ["target_arch=='arm64'", {"dependencies": ["valora_cpu_neon"]}]
      ]
    }
  ],
  "conditions": [
    [
      "target_arch=='x64'",
      {
        "targets": [
          {
            "target_name": "valora_cpu_avx2",
            "type": "static_library",
            "sources": ["<@(cpu_files)"],
            "defines": ["VALORA_ISA=avx2"],
            "cflags_cc": ["-march=x86-64-v3"]
          },
          {
            "target_name": "valora_cpu_avx512",
            "type": "static_library",
            "sources": ["<@(cpu_files)"],
            "defines": ["VALORA_ISA=avx512"],
            "cflags_cc": ["-march=x86-64-v4", "-mprefer-vector-width=512", "-Wno-maybe-uninitialized", "-Wno-uninitialized"]
          }
        ]
      }
    ],
    [
      "target_arch=='arm64'",
      {
        "targets": [
          {
            "target_name": "valora_cpu_neon",
            "type": "static_library",
            "sources": ["<@(cpu_files)"],
            "defines": ["VALORA_ISA=neon"],
            "cflags_cc": ["-fno-schedule-insns"]
          }
        ]
      }
    ]
  ]
}
