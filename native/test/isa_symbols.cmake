# Fails when an object of one instruction set defines a weak symbol outside its own namespace. The linker
# keeps one copy of a weak symbol for the whole program, so such a copy, compiled for AVX-512, could run
# on a machine without it.
if(NOT OBJECTS)
  message(FATAL_ERROR "no objects to look at")
endif()
set(foreign)
foreach(object ${OBJECTS})
  execute_process(COMMAND ${NM} --demangle --defined-only ${object} OUTPUT_VARIABLE symbols
                  COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "[0-9a-f]+ [WVu] [^\n]*" weak "${symbols}")
  foreach(symbol ${weak})
    if(NOT symbol MATCHES "valora::(avx512|avx2|neon|generic)::" AND NOT symbol MATCHES "DW.ref")
      list(APPEND foreign "${object}: ${symbol}")
    endif()
  endforeach()
endforeach()
if(foreign)
  string(REPLACE ";" "\n" foreign "${foreign}")
  message(FATAL_ERROR "weak symbols shared between instruction sets:\n${foreign}")
endif()
