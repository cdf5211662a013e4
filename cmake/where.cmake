# The differential proof of where clauses (tests/where/README.md): 50,000 cases from a fixed seed are a test, more are
# `make fuzz-where`.
file(GLOB where_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/where/*.c)
add_executable(where_diff ${where_sources})
target_link_libraries(where_diff PRIVATE cu_shape cu_expr cu_test_support)
add_test(NAME where_diff COMMAND where_diff --seed 4 --cases 50000)
set_tests_properties(where_diff PROPERTIES LABELS unit TIMEOUT 600 PROCESSORS 2 SKIP_RETURN_CODE 77)
