# libcopper: actors and the consumer registry, usable without the rest: libcopper.a, include/copper/*.h, copper.pc.
include(GNUInstallDirs)
add_library(libcopper STATIC $<TARGET_OBJECTS:cu_base> $<TARGET_OBJECTS:cu_actor> $<TARGET_OBJECTS:cu_registry>)
set_target_properties(libcopper PROPERTIES OUTPUT_NAME copper LINKER_LANGUAGE C)
configure_file(${CMAKE_SOURCE_DIR}/cmake/copper.pc.in ${CMAKE_BINARY_DIR}/copper.pc @ONLY)
install(TARGETS libcopper ARCHIVE COMPONENT libcopper)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/copper TYPE INCLUDE COMPONENT libcopper)
install(FILES ${CMAKE_BINARY_DIR}/copper.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT libcopper)

# The public headers are C++ too, and need nothing but themselves.
find_program(CXX_PROGRAM NAMES c++ g++ clang++)
if(CXX_PROGRAM)
  foreach(header error actor consumer_registry)
    add_test(NAME header_is_cpp_${header}
             COMMAND ${CXX_PROGRAM} -x c++ -Wall -Wextra -Werror -fsyntax-only -I${CMAKE_SOURCE_DIR}/include
                     ${CMAKE_SOURCE_DIR}/include/copper/${header}.h)
    set_tests_properties(header_is_cpp_${header} PROPERTIES LABELS unit TIMEOUT 60)
  endforeach()
endif()
