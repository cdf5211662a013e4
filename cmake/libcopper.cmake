# libcopper: actors and the consumer registry for programs of their own: libcopper.a, libcopper.so.0,
# include/copper/*.h, copper.pc, the examples.
#
# What is exported is what the public headers declare: they switch visibility to default, everything else is compiled
# hidden. The version script names the same functions once more, so that an addition is a decision; the tests below
# compare the two. The static library is one relocatable object whose hidden symbols have been made local, so a
# program's own cu_buf_… cannot clash with ours.
#
# It is built of its own objects: position independent, and never with a sanitizer, whatever the preset, because a
# program without one must be able to link it. (The modules' tests run the same sources with sanitizers.)
include(GNUInstallDirs)

set(libcopper_sources)
foreach(module base actor registry)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${module}/*.c)
  list(FILTER sources EXCLUDE REGEX "/(test_|fuzz_)[^/]*$")
  list(APPEND libcopper_sources ${sources})
endforeach()
file(GLOB libcopper_headers CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/include/copper/*.h)

add_library(libcopper_objects OBJECT ${libcopper_sources})
target_include_directories(libcopper_objects PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include)
# xxhash is compiled in, from its header; RCU is a library.
target_link_libraries(libcopper_objects PRIVATE PkgConfig::URCU PkgConfig::XXHASH)
# Calls among our own functions are direct, and the two thread-local bytes are reached without a call.
target_compile_options(libcopper_objects PRIVATE
  -fno-sanitize=all -fPIC -fvisibility=hidden -fno-semantic-interposition -ftls-model=initial-exec
  -ffunction-sections -fdata-sections)

set(libcopper_map ${CMAKE_SOURCE_DIR}/cmake/libcopper.map)
add_library(libcopper_shared SHARED $<TARGET_OBJECTS:libcopper_objects>)
set_target_properties(libcopper_shared PROPERTIES
  OUTPUT_NAME copper VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR} LINKER_LANGUAGE C
  LINK_DEPENDS ${libcopper_map})
target_link_libraries(libcopper_shared PRIVATE PkgConfig::URCU Threads::Threads)
target_link_options(libcopper_shared PRIVATE
  -fno-sanitize=all -Wl,--version-script=${libcopper_map} -Wl,-z,defs -Wl,-z,relro -Wl,-z,now
  -Wl,-Bsymbolic-functions -Wl,--gc-sections -Wl,--as-needed)

set(libcopper_object ${CMAKE_BINARY_DIR}/libcopper.o)
add_custom_command(OUTPUT ${libcopper_object}
  COMMAND ${CMAKE_LINKER} -r -o ${libcopper_object} $<TARGET_OBJECTS:libcopper_objects>
  COMMAND ${CMAKE_OBJCOPY} --localize-hidden ${libcopper_object}
  DEPENDS libcopper_objects $<TARGET_OBJECTS:libcopper_objects>
  COMMAND_EXPAND_LISTS VERBATIM)
set_source_files_properties(${libcopper_object} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
add_library(libcopper STATIC ${libcopper_object})
set_target_properties(libcopper PROPERTIES OUTPUT_NAME copper LINKER_LANGUAGE C)

install(TARGETS libcopper ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT libcopper)
install(TARGETS libcopper_shared LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT libcopper)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/copper TYPE INCLUDE COMPONENT libcopper)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/examples/registry DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples
        COMPONENT libcopper PATTERN .gitignore EXCLUDE)
install(FILES ${CMAKE_SOURCE_DIR}/docs/registry.md DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT libcopper)
# The generated pages, if `make docs` has made them.
install(DIRECTORY ${CMAKE_SOURCE_DIR}/build/docs/api DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT libcopper OPTIONAL)
# Written when it is installed, because only then the prefix is known. What a static program needs besides is named as
# libraries, not as packages: a program that uses the shared library shall not need their development files.
set(urcu_libs ${URCU_STATIC_LDFLAGS})
foreach(dir ${CMAKE_C_IMPLICIT_LINK_DIRECTORIES})
  list(REMOVE_ITEM urcu_libs -L${dir})
endforeach()
list(JOIN urcu_libs " " urcu_libs)
install(CODE "
  set(PROJECT_VERSION ${PROJECT_VERSION})
  set(CMAKE_INSTALL_LIBDIR ${CMAKE_INSTALL_LIBDIR})
  set(CMAKE_INSTALL_INCLUDEDIR ${CMAKE_INSTALL_INCLUDEDIR})
  set(LIBCOPPER_PRIVATE_LIBS \"${urcu_libs} -pthread\")
  configure_file(\"${CMAKE_SOURCE_DIR}/cmake/copper.pc.in\" \"${CMAKE_BINARY_DIR}/copper.pc\" @ONLY)
  file(INSTALL \"${CMAKE_BINARY_DIR}/copper.pc\"
       DESTINATION \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}/pkgconfig\")" COMPONENT libcopper)
install(TARGETS copper RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT server)

# The examples as part of this build too, so that the sanitizers see them.
foreach(example lazy_start publish_retry million_sleepers)
  add_executable(example_${example} ${CMAKE_SOURCE_DIR}/examples/registry/${example}.c)
  target_link_libraries(example_${example} PRIVATE cu_registry)
endforeach()

find_program(CXX_PROGRAM NAMES c++ g++ clang++)
function(libcopper_test name)
  add_test(NAME libcopper_${name} COMMAND ${ARGN})
  set_tests_properties(libcopper_${name} PROPERTIES LABELS unit TIMEOUT 120)
endfunction()

# The public headers are C++ too, and each needs nothing but itself.
if(CXX_PROGRAM)
  foreach(header ${libcopper_headers})
    get_filename_component(name ${header} NAME_WE)
    libcopper_test(header_is_cpp_${name} ${CXX_PROGRAM} -x c++ -Wall -Wextra -Werror -fsyntax-only
                   -I${CMAKE_SOURCE_DIR}/include ${header})
  endforeach()
endif()
set(libcopper_tests ${CMAKE_SOURCE_DIR}/tests/libcopper)
libcopper_test(exports_what_its_headers_declare ${libcopper_tests}/exports
               $<TARGET_FILE:libcopper_shared> $<TARGET_FILE:libcopper> ${libcopper_map} ${libcopper_headers})
libcopper_test(needs_no_server_library ${libcopper_tests}/needs
               $<TARGET_FILE:libcopper_shared> $<TARGET_FILE:libcopper>)
libcopper_test(examples_tell_what_happens ${libcopper_tests}/examples $<TARGET_FILE_DIR:example_lazy_start>)
set_tests_properties(libcopper_examples_tell_what_happens PROPERTIES LABELS "unit;race") # they have threads
libcopper_test(installed_copy_builds_programs ${libcopper_tests}/installed ${CMAKE_COMMAND} ${CMAKE_BINARY_DIR})
