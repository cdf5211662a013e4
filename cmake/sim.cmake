# The simulation: base, actor and registry once more, with every lock, wait and atomic access under a scheduler that
# a seed decides (tests/sim/sim.h). Always with the invariants of debug builds, whatever the preset.
# Not under ThreadSanitizer: one thread runs at a time, so there is nothing for it to see.
if(NOT CMAKE_C_FLAGS MATCHES "fsanitize=thread|fsanitize=fuzzer")
  file(GLOB sim_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/base/*.c ${CMAKE_SOURCE_DIR}/src/actor/*.c
       ${CMAKE_SOURCE_DIR}/src/registry/*.c)
  list(FILTER sim_sources EXCLUDE REGEX "/(test_|fuzz_)")
  add_library(cu_sim_scheduler STATIC EXCLUDE_FROM_ALL ${CMAKE_SOURCE_DIR}/tests/sim/sim.c)
  target_compile_definitions(cu_sim_scheduler PRIVATE CU_SIM_NO_HOOKS)
  add_library(cu_sim STATIC EXCLUDE_FROM_ALL ${sim_sources})
  foreach(lib cu_sim_scheduler cu_sim)
    target_include_directories(${lib} PUBLIC ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR}/tests)
    target_compile_definitions(${lib} PUBLIC CU_SIM)
    target_link_libraries(${lib} PUBLIC PkgConfig::URCU PkgConfig::XXHASH Threads::Threads)
  endforeach()
  # A limit that is 0 or 1 here makes some comparisons and look-aheads look silly.
  target_compile_options(cu_sim PUBLIC -UCU_DEBUG -DCU_DEBUG -Wno-type-limits -Wno-array-bounds -include ${CMAKE_SOURCE_DIR}/tests/sim/hooks.h)
  foreach(name test_sim_actor test_sim_registry)
    add_executable(${name} ${CMAKE_SOURCE_DIR}/tests/sim/${name}.c)
    target_link_libraries(${name} PRIVATE cu_sim cu_sim_scheduler ${CMOCKA_LIBRARY})
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES LABELS unit TIMEOUT 300)
  endforeach()

  # The crash simulation (tests/crash/README.md): the same scheduler for what writes to the disk. Actors and Postgres are
  # models there.
  file(GLOB crash_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/store/*.c ${CMAKE_SOURCE_DIR}/src/shape/*.c
       ${CMAKE_SOURCE_DIR}/src/router/*.c ${CMAKE_SOURCE_DIR}/src/collector/*.c ${CMAKE_SOURCE_DIR}/tests/crash/*.c)
  list(FILTER crash_sources EXCLUDE REGEX "/(test_|fuzz_)")
  add_library(cu_crash STATIC EXCLUDE_FROM_ALL ${crash_sources})
  target_include_directories(cu_crash PUBLIC ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR}/tests)
  target_compile_definitions(cu_crash PUBLIC CU_SIM)
  target_compile_options(cu_crash PUBLIC -include ${CMAKE_SOURCE_DIR}/tests/crash/hooks.h)
  target_link_libraries(cu_crash PUBLIC cu_sim_scheduler cu_registry cu_expr cu_pg cu_base PkgConfig::SQLITE PkgConfig::JANSSON
                        PkgConfig::XXHASH)
  add_executable(test_sim_crash ${CMAKE_SOURCE_DIR}/tests/crash/test_sim_crash.c)
  target_link_libraries(test_sim_crash PRIVATE cu_crash ${CMOCKA_LIBRARY})
  add_test(NAME test_sim_crash COMMAND test_sim_crash)
  set_tests_properties(test_sim_crash PROPERTIES LABELS unit TIMEOUT 300)
endif()

# make soak: minutes of random load, in any preset; built when it is asked for.
add_executable(soak EXCLUDE_FROM_ALL ${CMAKE_SOURCE_DIR}/tests/soak/soak.c)
target_link_libraries(soak PRIVATE cu_registry)
