# The differential proof of where clauses (tests/where/README.md): 50,000 cases from a fixed seed are a test, more are
# `make fuzz-where`; what it found is asked again by name.
file(GLOB where_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/where/*.c)
list(FILTER where_sources EXCLUDE REGEX "/where_(diff|found)\\.c$")
add_library(where_proof STATIC ${where_sources})
target_link_libraries(where_proof PUBLIC cu_shape cu_expr cu_test_support ${CMOCKA_LIBRARY})
foreach(exe where_diff where_found)
  add_executable(${exe} tests/where/${exe}.c)
  target_link_libraries(${exe} PRIVATE where_proof)
endforeach()
add_test(NAME where_found COMMAND where_found)
add_test(NAME where_diff COMMAND where_diff --seed 4 --cases 50000)
set_tests_properties(where_found PROPERTIES LABELS unit TIMEOUT 300 SKIP_RETURN_CODE 77)
set_tests_properties(where_diff PROPERTIES LABELS unit TIMEOUT 600 PROCESSORS 2 SKIP_RETURN_CODE 77)
