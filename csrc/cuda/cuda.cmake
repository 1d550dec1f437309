# The CUDA ops in a library of their own, loaded only where torch has the same CUDA major.
# FCTFAST_CUDA=AUTO looks for nvcc alone: build isolation hides the user's own torch.
string(TOUPPER "${FCTFAST_CUDA}" FCTFAST_CUDA)
if(NOT FCTFAST_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "FCTFAST_CUDA: expected AUTO, ON or OFF, got ${FCTFAST_CUDA}")
endif()
if(FCTFAST_CUDA STREQUAL "OFF")
  message(STATUS "fctfast: no CUDA library (FCTFAST_CUDA=OFF)")
  return()
endif()

include(CheckLanguage)
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  if(FCTFAST_CUDA STREQUAL "ON")
    message(FATAL_ERROR "FCTFAST_CUDA=ON, but no nvcc was found: put it on PATH or set CUDACXX")
  endif()
  message(STATUS "fctfast: no CUDA library (nvcc was not found)")
  return()
endif()
# Here and not before check_language, which would fail on an architecture that nvcc does not know.
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES AND NOT DEFINED ENV{CUDAARCHS})
  if(FCTFAST_CUDA STREQUAL "ON")
    set(CMAKE_CUDA_ARCHITECTURES 75-real 80-real 86-real 90 100-real 120)
  else()
    # The visible GPUs that nvcc knows; without one, sm_80 with PTX for everything newer.
    execute_process(COMMAND nvidia-smi --query-gpu=compute_cap --format=csv,noheader
                    OUTPUT_VARIABLE gpus RESULT_VARIABLE no_gpus ERROR_QUIET)
    execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --list-gpu-arch
                    OUTPUT_VARIABLE known ERROR_QUIET)
    string(REGEX MATCHALL "[0-9]+[.][0-9]+" gpus "${gpus}")
    set(CMAKE_CUDA_ARCHITECTURES "")
    foreach(gpu IN LISTS gpus)
      string(REPLACE "." "" gpu "${gpu}")
      if(known MATCHES "compute_${gpu}[^0-9]")
        list(APPEND CMAKE_CUDA_ARCHITECTURES ${gpu})
      else()
        message(STATUS "fctfast: nvcc cannot compile for the GPU of compute capability ${gpu}")
      endif()
    endforeach()
    list(REMOVE_DUPLICATES CMAKE_CUDA_ARCHITECTURES)
    if(CMAKE_CUDA_ARCHITECTURES STREQUAL "")
      set(CMAKE_CUDA_ARCHITECTURES 80)
    endif()
  endif()
endif()
set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)  # the root CMake detected: nvcc on PATH may be a wrapper script

add_library(fctfast_cuda SHARED
  csrc/cuda/contrastive_views.cu
  csrc/cuda/fct_views.cu
  csrc/cuda/feature_distance.cu
  csrc/cuda/supcon_loss.cu
  csrc/cuda/warp_distance.cu)
# -fmad=false: equality with the CPU is promised.
target_compile_options(fctfast_cuda PRIVATE
  $<$<COMPILE_LANGUAGE:CUDA>:-fmad=false --expt-relaxed-constexpr>)
set_target_properties(fctfast_cuda PROPERTIES
  CUDA_RUNTIME_LIBRARY Static CUDA_VISIBILITY_PRESET hidden
  BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "$ORIGIN/../../torch/lib")
target_link_libraries(fctfast_cuda PRIVATE fctfast_flags fctfast_torch)
target_compile_definitions(fctfast_cuda PRIVATE USE_CUDA)
if(EXISTS "${TORCH_ROOT}/lib/libtorch_cuda.so")
  target_link_libraries(fctfast_cuda PRIVATE "${TORCH_ROOT}/lib/libtorch_cuda.so")
endif()
file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/cuda_version.txt" "${CMAKE_CUDA_COMPILER_VERSION}\n")
install(TARGETS fctfast_cuda LIBRARY DESTINATION ${FCTFAST_LIBRARY_DIR})
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/cuda_version.txt" DESTINATION ${FCTFAST_LIBRARY_DIR})
message(STATUS "fctfast: CUDA library for ${CMAKE_CUDA_ARCHITECTURES}, nvcc ${CMAKE_CUDA_COMPILER_VERSION}")
