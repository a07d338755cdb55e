# What `cmake --install` puts where, and how the build tree and an installed tree are found: moe.pc and moeConfig.cmake.
# Every path inside is relative, so that both trees can be moved or copied.

# moe_pkgconfig(OUTPUT PREFIX LIBDIR INCLUDEDIR RPATH): writes a moe.pc. PREFIX is relative to the folder of OUTPUT.
function(moe_pkgconfig output pc_prefix pc_libdir pc_includedir pc_rpath)
  set(pc_cuda false)
  configure_file(${CMAKE_SOURCE_DIR}/cmake/moe.pc.in ${output} @ONLY)
endfunction()

# Programs built against the build tree find the library there; programs of an installed tree are linked as their author likes.
moe_pkgconfig(${CMAKE_BINARY_DIR}/lib/pkgconfig/moe.pc ../.. lib ${CMAKE_SOURCE_DIR}/include "-Wl,-rpath,\${libdir} ")
