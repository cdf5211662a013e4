# The end-to-end stories: tests/e2e/<story>.test.mjs, one ctest each, labelled e2e, against this build's binary. Those
# that a sanitizer's build should tell as well are labelled main too. They need node and `npm ci` in tests/e2e
# (scripts/test sees to it), and run two at a time at most, the heavy ones alone.
find_program(NODE_EXECUTABLE node)
if(NODE_EXECUTABLE)
  set(main_stories initial_sync changes restart database crowd http partitions columns recorded storm
    edges consumers standby connections idle publishing source rotation
    protocol_fuzz)
  set(lone_stories million run crowd)
  file(GLOB stories CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/e2e/*.test.mjs)
  foreach(file ${stories})
    get_filename_component(story ${file} NAME)
    string(REPLACE ".test.mjs" "" story ${story})
    add_test(NAME e2e_${story} COMMAND ${NODE_EXECUTABLE} ${file})
    set(labels e2e)
    if(story IN_LIST main_stories)
      list(APPEND labels main)
    endif()
    set_tests_properties(e2e_${story} PROPERTIES
      LABELS "${labels}" TIMEOUT 600 PROCESSORS 1 ENVIRONMENT "COPPER_BIN=$<TARGET_FILE:copper>")
    if(story IN_LIST lone_stories)
      set_tests_properties(e2e_${story} PROPERTIES RUN_SERIAL ON)
    endif()
  endforeach()
endif()
