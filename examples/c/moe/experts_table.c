/* Tables of rows by experts: text, JSON, SVG. */
#include "experts_table.h"

#include <stdlib.h>
#include <string.h>

static int64_t at(const routing_table* t, int32_t row, int32_t expert) {
  return t->counts[(int64_t)row * t->expert_count + expert];
}

static int64_t row_total(const routing_table* t, int32_t row) {
  int64_t sum = 0;
  for (int32_t e = 0; e < t->expert_count; ++e) sum += at(t, row, e);
  return sum;
}

static void print_totals(const routing_table* t) {
  int64_t all = 0;
  printf("  %-16s", "total");
  for (int32_t e = 0; e < t->expert_count; ++e) {
    int64_t sum = 0;
    for (int32_t r = 0; r < t->row_count; ++r) sum += at(t, r, e);
    printf(" %12lld", (long long)sum);
    all += sum;
  }
  printf(" %12lld\n", (long long)all);
}

void print_routing(const routing_table* t) {
  printf("\n  %-16s", t->unit);
  for (int32_t e = 0; e < t->expert_count; ++e) printf(" %12.12s", t->experts[e]);
  printf(" %12s\n", "total");
  for (int32_t r = 0; r < t->row_count; ++r) {
    printf("  %-16s", t->rows[r]);
    for (int32_t e = 0; e < t->expert_count; ++e) printf(" %12lld", (long long)at(t, r, e));
    printf(" %12lld\n", (long long)row_total(t, r));
  }
  print_totals(t);
}

void json_routing(const routing_table* t) {
  printf("{");
  for (int32_t r = 0; r < t->row_count; ++r) {
    if (r > 0) printf(", ");
    json_text(stdout, t->rows[r]);
    printf(": [");
    for (int32_t e = 0; e < t->expert_count; ++e) printf("%s%lld", e ? ", " : "", (long long)at(t, r, e));
    printf("]");
  }
  printf("}");
}

/* ----------------------------------------------------------------------------------------------------------------- SVG
 */

enum { CELL = 34, ROW = 18, LABELS = 96, HEAD = 40, GAP = 16, PANELS_A_LINE = 3 };

struct svg {
  FILE* file;
  char* path;
  int32_t panels, panel_width, panel_height, drawn;
};

svg* svg_open(const char* path, int32_t panels, int32_t rows, int32_t experts) {
  svg* s = calloc(1, sizeof *s);
  if (s) s->path = format_text("%s", path);
  if (s && s->path) s->file = fopen(path, "w");
  if (!s || !s->path || !s->file) {
    fail_text("%s: cannot write", path);
    if (s) free(s->path);
    free(s);
    return NULL;
  }
  s->panel_width = LABELS + experts * CELL + GAP;
  s->panel_height = HEAD + rows * ROW + GAP;
  const int32_t across = panels < PANELS_A_LINE ? panels : PANELS_A_LINE, down = (panels + across - 1) / across;
  fprintf(s->file,
          "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" "
          "font-size=\"11\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
          across * s->panel_width + GAP, down * s->panel_height + GAP);
  s->panels = across;
  return s;
}

/* Names of classes and layers may hold anything. */
static void svg_text(const svg* s, int x, int y, const char* anchor, const char* text) {
  fprintf(s->file, "<text x=\"%d\" y=\"%d\" text-anchor=\"%s\">", x, y, anchor);
  for (; *text; ++text) {
    const char* escaped = *text == '<' ? "&lt;" : *text == '>' ? "&gt;" : *text == '&' ? "&amp;" : NULL;
    if (escaped) {
      fputs(escaped, s->file);
    } else {
      fputc(*text, s->file);
    }
  }
  fputs("</text>\n", s->file);
}

/* White at no share, dark blue at all of it. */
static void svg_cell(const svg* s, int x, int y, double share) {
  char percent[8];
  snprintf(percent, sizeof percent, "%.0f", 100 * share);
  fprintf(s->file, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"rgb(%d,%d,%d)\" stroke=\"white\"/>\n", x, y,
          CELL, ROW, (int)(255 - 239 * share), (int)(255 - 197 * share), (int)(255 - 111 * share));
  fprintf(s->file, "<g fill=\"%s\">", share > 0.5 ? "white" : "black");
  svg_text(s, x + CELL / 2, y + ROW - 5, "middle", percent);
  fputs("</g>\n", s->file);
}

void svg_panel(svg* s, const routing_table* t) {
  const int left = GAP + s->drawn % s->panels * s->panel_width, top = GAP + s->drawn / s->panels * s->panel_height;
  ++s->drawn;
  fputs("<g font-weight=\"bold\">", s->file);
  svg_text(s, left, top + 11, "start", t->layer);
  fputs("</g>\n", s->file);
  for (int32_t e = 0; e < t->expert_count; ++e) {
    char* name = format_text("%.5s", strncmp(t->experts[e], "expert ", 7) ? t->experts[e] : t->experts[e] + 7);
    if (name) svg_text(s, left + LABELS + e * CELL + CELL / 2, top + HEAD - 6, "middle", name);
    free(name);
  }
  for (int32_t r = 0; r < t->row_count; ++r) {
    const int64_t total = row_total(t, r);
    svg_text(s, left + LABELS - 6, top + HEAD + r * ROW + ROW - 5, "end", t->rows[r]);
    for (int32_t e = 0; e < t->expert_count; ++e) {
      const double share = total > 0 ? (double)at(t, r, e) / (double)total : 0;
      svg_cell(s, left + LABELS + e * CELL, top + HEAD + r * ROW, share);
    }
  }
}

bool svg_close(svg* s) {
  if (!s) return false;
  bool good = fputs("</svg>\n", s->file) >= 0;
  good = fclose(s->file) == 0 && good;
  if (!good) fail_text("%s: cannot write", s->path);
  free(s->path);
  free(s);
  return good;
}
