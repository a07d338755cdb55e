/* See openmp_neighbour.h. */
#include "openmp_neighbour.h"

#include <omp.h>

int64_t neighbour_squares(int64_t n) {
  int64_t sum = 0;
#pragma omp parallel for reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += i * i;
  return sum;
}

int neighbour_threads(void) {
  return omp_get_max_threads();
}

void neighbour_set_threads(int threads) {
  omp_set_num_threads(threads);
}
