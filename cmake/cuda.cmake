# The CUDA backend by nvcc, as the static library valora_cuda. It carries CUDA's runtime in itself and looks for the
# driver when it is first asked for a device: what links it loads where there is nothing of CUDA.
set(CMAKE_CUDA_ARCHITECTURES ${VALORA_CUDA_ARCHITECTURES})
set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
set(CMAKE_CUDA_VISIBILITY_PRESET hidden)
enable_language(CUDA)
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.24 and older know C++17
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
endif()
file(GLOB cuda_files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/native/cuda/*.cu
     ${PROJECT_SOURCE_DIR}/native/cuda/runtime/*.cu)
add_library(valora_cuda STATIC ${cuda_files} native/cuda/attention_plan.cc)
target_link_libraries(valora_cuda PUBLIC valora_core)
# As scripts/compile-cuda.mjs has them, where a spilled register is an error.
target_compile_options(valora_cuda PRIVATE
  "$<$<COMPILE_LANGUAGE:CUDA>:-fmad=false;--threads=2;-Xcompiler=-Wall,-Wextra;-Xptxas=-warn-spills>")
