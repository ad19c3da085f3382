# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
#
# Compiles the generated type support of an interface package in a few large files instead of
# five small ones for each message: the time goes into headers, which are then read once.
# `./thebox build` passes this file as CMAKE_PROJECT_INCLUDE; a plain `colcon build` does without.

function(thebox_unite_typesupport)
  # Not introspection_cpp: its files specialise templates that their neighbours have used by then.
  foreach(kind typesupport_c typesupport_cpp typesupport_fastrtps_c typesupport_fastrtps_cpp
      typesupport_introspection_c generator_py)
    set(name ${PROJECT_NAME}__rosidl_${kind})
    if(TARGET ${name})
      set_target_properties(${name} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 14)
    endif()
  endforeach()
endfunction()

if(CMAKE_VERSION VERSION_GREATER_EQUAL 3.19)
  cmake_language(DEFER CALL thebox_unite_typesupport)
endif()
