# Packages by cpack: a .tar.gz that holds all it needs but the C and C++ run time, and a .deb that depends on Debian's packages.
# Read twice: by CMake, and by cpack for every package, which then knows its kind (CPACK_GENERATOR).
set(CPACK_COMPONENTS_ALL moe libtorch)
if(CPACK_GENERATOR STREQUAL "TGZ")
  list(APPEND CPACK_COMPONENTS_ALL bundled)
  set(CPACK_COMPONENT_INCLUDE_TOPLEVEL_DIRECTORY ON)
endif()
if(DEFINED CPACK_GENERATOR)
  return()
endif()

set(CPACK_GENERATOR TGZ DEB)
set(CPACK_PROJECT_CONFIG_FILE ${CMAKE_CURRENT_LIST_FILE})
set(CPACK_PACKAGE_NAME libmoe)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_VENDOR libmoe)
set(CPACK_PACKAGE_CONTACT "the authors of libmoe <libmoe@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "training of mixture-of-experts models from C and other languages")
set(CPACK_PACKAGE_DESCRIPTION "A shared library with a stable C interface, its header, the command moe and configurations.
It carries the libraries of LibTorch that it needs.")
set(CPACK_PACKAGE_FILE_NAME libmoe-${PROJECT_VERSION}-linux-${CMAKE_SYSTEM_PROCESSOR})
set(CPACK_PACKAGE_CHECKSUM SHA256)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_ARCHIVE_COMPONENT_INSTALL ON)

# dpkg-shlibdeps finds the versions of the packages; LibTorch's own libraries belong to none and lie in the package.
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE zstd)
set(CPACK_DEBIAN_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
file(GLOB CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${MOE_TORCH_LIB} ${MOE_TORCH_LIB}/../../nvidia/*/lib)
set(CPACK_DEBIAN_PACKAGE_CONFLICTS moe)  # GNU Moe, an editor, also has the command moe
include(CPack)
