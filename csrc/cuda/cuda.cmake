# The CUDA ops in a library of their own, loaded only where torch has the same CUDA major.
if(FCTFAST_CUDA STREQUAL "OFF")
  message(STATUS "fctfast: CUDA library off (FCTFAST_CUDA=OFF)")
  return()
endif()
