/* moe info: what this build is made of and what it can do. */
#include "common.h"

#include <stdlib.h>

static moe_status reader(const void* handle, const char* key, char* buffer, size_t capacity, size_t* needed) {
  (void)handle;
  (void)key;
  return moe_build_info(buffer, capacity, needed);
}

static int run(const command* self, int argc, char** argv) {
  int count = 0;
  const int code = parse_options(self, NULL, 0, argc, argv, &count);
  if (code >= 0) return code;
  if (count > 0) return fail_usage(self, "expected no argument, got \"%s\"", argv[1]);
  char* info = read_text(reader, NULL, NULL);
  if (!info) return fail_last();
  printf("%s\n", info);
  free(info);
  return EXIT_OK;
}

const command command_info = {
    "info", "versions, threads and tasks of this build, as JSON",
    "usage: moe info\n\n"
    "Prints a JSON object: version, abi, versions of the libraries, CPU capability, threads, cuda\n"
    "(libmoe_cuda.so lies beside the library), gemm (what multiplies matrices), allocator (what\n"
    "memory is kept between steps), compiler, tasks. Two of them are chosen by the environment:\n\n"
    "  MOE_GEMM       auto, onednn or mkl; auto is oneDNN on CPUs other than Intel's\n"
    "  MOE_ALLOCATOR  auto, keep or system; auto keeps large blocks while a session lives\n\n"
    "  moe info\n"
    "  moe info --threads 2\n"
    "  MOE_GEMM=mkl moe info\n",
    run};
