/* Who chose whom: tables of rows (classes, ranges of steps) by experts, as text, JSON and a picture. */
#ifndef MOE_EXPERTS_TABLE_H
#define MOE_EXPERTS_TABLE_H

#include "common.h"

typedef struct routing_table {
  const char* layer;     /* name of the mixture layer */
  const char* unit;      /* what a row counts, "class" or "steps" */
  char** rows;           /* [row_count] */
  char** experts;        /* [expert_count] */
  const int64_t* counts; /* [row_count, expert_count] */
  int32_t row_count, expert_count;
} routing_table;

void print_routing(const routing_table* table);
void json_routing(const routing_table* table); /* {"row": [counts], ...} */

/* An SVG picture: a panel a layer, a cell's colour the expert's share of its row. svg_open() opens it for `panels` panels of at
 * most the given sizes (NULL after an error that was printed), svg_panel() draws the next one, svg_close() ends and frees it
 * (false after an error that was printed; NULL allowed). */
typedef struct svg svg;
svg* svg_open(const char* path, int32_t panels, int32_t rows, int32_t experts);
void svg_panel(svg* picture, const routing_table* table);
bool svg_close(svg* picture);

#endif
