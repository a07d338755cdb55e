/* A library that uses OpenMP and knows nothing of libmoe: the sum of the squares 0 to n - 1 in parallel. */
#ifndef MOE_TESTS_ABI_OPENMP_NEIGHBOUR_H
#define MOE_TESTS_ABI_OPENMP_NEIGHBOUR_H
#include <stdint.h>

int64_t neighbour_squares(int64_t n);
/* Threads of the next parallel region of the calling thread: read and set. */
int neighbour_threads(void);
void neighbour_set_threads(int threads);

#endif
