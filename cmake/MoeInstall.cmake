# What `cmake --install` puts where, and how the build tree and an installed tree are found: moe.pc and moeConfig.cmake.
# Every path inside is relative, so that both trees can be moved or copied. Components:
#   moe      the library, the header, the command, configs and documentation
#   libtorch the libraries of LibTorch that libmoe needs, in a folder of their own beside it
#   bundled  the Debian libraries that libmoe needs; only the tarball takes them
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(MOE_PRIVATE_LIBDIR ${CMAKE_INSTALL_LIBDIR}/moe)
set(MOE_DOCDIR ${CMAKE_INSTALL_DATADIR}/doc/libmoe)
if(MOE_CUDA)
  set(MOE_HAS_CUDA TRUE)
else()
  set(MOE_HAS_CUDA FALSE)
endif()

# moe_pkgconfig(OUTPUT PREFIX LIBDIR INCLUDEDIR RPATH): writes a moe.pc. PREFIX is relative to the folder of OUTPUT.
function(moe_pkgconfig output pc_prefix pc_libdir pc_includedir pc_rpath)
  string(TOLOWER ${MOE_HAS_CUDA} pc_cuda)
  configure_file(${CMAKE_SOURCE_DIR}/cmake/moe.pc.in ${output} @ONLY)
endfunction()

# Programs built against the build tree find the library there; programs of an installed tree are linked as their author likes.
moe_pkgconfig(${CMAKE_BINARY_DIR}/lib/pkgconfig/moe.pc ../.. lib ${CMAKE_SOURCE_DIR}/include "-Wl,-rpath,\${libdir} ")
file(RELATIVE_PATH up /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" up ${up})
moe_pkgconfig(${CMAKE_BINARY_DIR}/install/moe.pc ${up} ${CMAKE_INSTALL_LIBDIR} "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}" "")
write_basic_package_version_file(${CMAKE_BINARY_DIR}/install/moeConfigVersion.cmake COMPATIBILITY SameMinorVersion)
configure_file(${CMAKE_SOURCE_DIR}/cmake/moeConfig.cmake.in ${CMAKE_BINARY_DIR}/install/moeConfig.cmake @ONLY)

file(RELATIVE_PATH to_libdir /${CMAKE_INSTALL_BINDIR} /${CMAKE_INSTALL_LIBDIR})
set_target_properties(moe PROPERTIES INSTALL_RPATH "$ORIGIN/moe")
install(TARGETS moe EXPORT moeTargets RUNTIME_DEPENDENCY_SET needed
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT moe NAMELINK_COMPONENT moe)
if(MOE_EXAMPLES)
  set_target_properties(moe_cli PROPERTIES INSTALL_RPATH "$ORIGIN/${to_libdir}")
  install(TARGETS moe_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT moe)
endif()
install(EXPORT moeTargets NAMESPACE moe:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/moe COMPONENT moe)
install(FILES ${CMAKE_BINARY_DIR}/install/moeConfig.cmake ${CMAKE_BINARY_DIR}/install/moeConfigVersion.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/moe COMPONENT moe)
install(FILES ${CMAKE_BINARY_DIR}/install/moe.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT moe)
install(FILES include/moe.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT moe)
install(DIRECTORY configs DESTINATION ${CMAKE_INSTALL_DATADIR}/moe COMPONENT moe)
install(FILES README.md CHANGELOG.md LICENSE DESTINATION ${MOE_DOCDIR} COMPONENT moe)
install(FILES cmake/copyright DESTINATION ${MOE_DOCDIR} COMPONENT moe)
install(DIRECTORY docs examples DESTINATION ${MOE_DOCDIR} COMPONENT moe
  PATTERN CMakeLists.txt EXCLUDE PATTERN target EXCLUDE PATTERN __pycache__ EXCLUDE PATTERN "*.egg-info" EXCLUDE
  REGEX "examples/python/build$" EXCLUDE)

# LibTorch is whatever libmoe needs from the folders of its wheel or zip. What every Linux has (libc, libstdc++, libgcc) is in neither set.
set(debian_libraries "^lib(yaml-cpp|turbojpeg|png16|z)\\.so")
set(system_folders "^(/usr)?/lib(64)?/")
install(RUNTIME_DEPENDENCY_SET needed PRE_EXCLUDE_REGEXES ${debian_libraries} POST_EXCLUDE_REGEXES ${system_folders}
  LIBRARY DESTINATION ${MOE_PRIVATE_LIBDIR} COMPONENT libtorch)
install(RUNTIME_DEPENDENCY_SET needed POST_INCLUDE_REGEXES "/lib(yaml-cpp|turbojpeg|png16|z)\\.so[^/]*$" POST_EXCLUDE_REGEXES ".*"
  LIBRARY DESTINATION ${MOE_PRIVATE_LIBDIR} COMPONENT bundled EXCLUDE_FROM_ALL)

# Licences of what is distributed with libmoe.
get_filename_component(wheels ${MOE_TORCH_LIB}/../.. ABSOLUTE)
file(GLOB licences ${wheels}/torch-*.dist-info/licenses ${wheels}/nvidia_*.dist-info/licenses)
foreach(folder ${licences})
  string(REGEX REPLACE ".*/([^/]+)-[^/-]*\\.dist-info/licenses$" "\\1" wheel ${folder})
  install(DIRECTORY ${folder}/ DESTINATION ${MOE_DOCDIR}/licences/${wheel} COMPONENT libtorch)
endforeach()
file(GLOB licences /usr/share/doc/libyaml-cpp0.7/copyright /usr/share/doc/libturbojpeg0/copyright
  /usr/share/doc/libpng16-16/copyright /usr/share/doc/zlib1g/copyright)
foreach(file ${licences})
  string(REGEX REPLACE ".*/([^/]+)/copyright$" "\\1" package ${file})
  install(FILES ${file} DESTINATION ${MOE_DOCDIR}/licences RENAME ${package} COMPONENT bundled EXCLUDE_FROM_ALL)
endforeach()
