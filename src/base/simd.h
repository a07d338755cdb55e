// Function multi-versioning for plain loops: the library is built for any x86-64, and a marked function also exists for
// AVX2 with FMA (x86-64-v3) and AVX-512 (x86-64-v4); the loader picks one. Different versions may round differently
// (FMA).
#pragma once

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define MOE_MULTIVERSION __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define MOE_MULTIVERSION  // the loader picks before a sanitizer has started
#endif
