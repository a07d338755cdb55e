/* Stands for a LibTorch of another version that the program loaded first: loaded before everything, it answers for the real one. */
#include <stdint.h>

uint64_t aoti_torch_abi_version(void);

/* Version 2.14.1 as TORCH_ABI_VERSION counts it. */
uint64_t aoti_torch_abi_version(void) {
  return (uint64_t)2 << 56 | (uint64_t)14 << 48 | (uint64_t)1 << 40;
}
