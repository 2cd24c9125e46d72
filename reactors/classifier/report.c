/*
 * The HTML report: see report.h.
 *
 * Design: text is written through a small writer that remembers the first failure, so that the page
 * reads as a page and not as a list of error checks. Curves are polylines in a 100 × 100 square;
 * the style gives them their colours, by the reader's preference of light or dark.
 */
#include "reactors/classifier/report.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"

/* Points of a precision-recall curve: finer than a screen shows. */
#define CURVE_POINTS_MAX 160

/* Scores in a bin from which its point is drawn. */
#define BIN_SCORES_MIN 5

/* Longest piece written at once. */
#define PIECE_BYTES 1024

/* Writes to a buffer; the first failure stays. */
struct page {
    struct buffer *buffer; /* borrowed */
    int result;            /* 0, or the first error */
};

static void __attribute__((format(printf, 2, 3))) put(struct page *page, const char *format, ...)
{
    char piece[PIECE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(piece, sizeof(piece), format, arguments);
    va_end(arguments);
    if (page->result == 0)
        page->result = buffer_append_text(page->buffer, piece);
}

static void put_text(struct page *page, const char *text)
{
    if (page->result == 0)
        page->result = buffer_append_text(page->buffer, text);
}

static void put_escaped(struct page *page, const char *text)
{
    for (; *text != '\0'; text++) {
        const char *escaped = *text == '<'   ? "&lt;"
                              : *text == '>' ? "&gt;"
                              : *text == '&' ? "&amp;"
                              : *text == '"' ? "&quot;"
                                             : NULL;
        if (page->result == 0)
            page->result = escaped == NULL ? buffer_append(page->buffer, text, 1)
                                           : buffer_append_text(page->buffer, escaped);
    }
}

static const char STYLE[] =
    "<style>\n"
    ":root{color-scheme:light "
    "dark;--ink:#1b1f24;--soft:#656d76;--line:#d0d7de;--paper:#fff;--card:#f6f8fa;"
    "--main:#0969da;--good:#1a7f37;--bad:#bc4c00}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#8d96a0;--line:#30363d;--paper:#"
    "0d1117;"
    "--card:#161b22;--main:#4493f8;--good:#3fb950;--bad:#db6d28}}\n"
    "*{box-sizing:border-box}body{margin:0 auto;max-width:72rem;padding:2rem "
    "1.25rem;background:var(--paper);"
    "color:var(--ink);font:16px/1.5 system-ui,sans-serif}\n"
    "h1{font-size:1.5rem;margin:0 0 .25rem}h2{font-size:1.15rem;margin:2.5rem 0 "
    ".75rem}p{max-width:44rem}"
    ".soft{color:var(--soft)}\n"
    ".cards{display:grid;grid-template-columns:repeat(3,1fr);gap:1rem;margin:1.5rem 0}"
    ".card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:1rem}"
    ".card b{display:block;font-size:1.6rem;font-variant-numeric:tabular-nums}.card "
    "span{color:var(--soft)}\n"
    ".wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-"
    "nums}"
    "th,td{padding:.35rem .6rem;text-align:right;border-bottom:1px solid "
    "var(--line);white-space:nowrap}"
    "th:first-child,td:first-child{text-align:left}th{color:var(--soft);font-weight:600;font-size:."
    "85rem}"
    "td small{color:var(--soft)}tr.never td{color:var(--soft)}\n"
    ".curves{display:grid;grid-template-columns:repeat(auto-fill,minmax(20rem,1fr));gap:1rem}"
    ".curves figure{margin:0;background:var(--card);border:1px solid "
    "var(--line);border-radius:8px;padding:.9rem}"
    "figcaption{font-weight:600;overflow-wrap:anywhere}.pair{display:grid;grid-template-columns:"
    "1fr 1fr;gap:.75rem}"
    ".pair div{font-size:.75rem;color:var(--soft)}\n"
    "svg{display:block;width:100%;height:auto;overflow:visible;margin:.4rem 0}"
    "svg .frame{fill:none;stroke:var(--line);stroke-width:1}svg "
    ".even{stroke:var(--line);stroke-dasharray:3 3}"
    "svg .curve{fill:none;stroke:var(--main);stroke-width:2;stroke-linejoin:round}"
    "svg .dot{fill:var(--main)}svg .at{fill:var(--good);stroke:var(--card);stroke-width:1.5}\n"
    "@media(max-width:40rem){.cards{grid-template-columns:1fr}}@media "
    "print{body{max-width:none}.curves figure{break-inside:avoid}}\n"
    "</style>\n";

/*
 * --- curves
 * -------------------------------------------------------------------------------------------------
 */

static void open_square(struct page *page, const char *what)
{
    put(page,
        "<svg viewBox=\"-2 -2 104 104\" role=\"img\" aria-label=\"%s\">"
        "<rect class=\"frame\" width=\"100\" height=\"100\"/>",
        what);
}

/* Precision over recall, from sure to unsure, with a dot where the threshold is. */
static void put_precision_recall(struct page *page, const struct evaluation *evaluation, size_t l)
{
    const struct evaluate_label *label = &evaluation->labels[l];
    CLEANUP(mem_free) uint32_t *order = evaluate_order(evaluation, l);
    open_square(page, "precision over recall");
    put_text(page, "<polyline class=\"curve\" points=\"");
    size_t right = 0;
    double step = (double)label->support / CURVE_POINTS_MAX;
    double next = 0;
    for (size_t r = 0; r < evaluation->row_count && label->support > 0; r++) {
        if (!evaluation->carries[l * evaluation->row_count + order[r]])
            continue;
        right++;
        if ((double)right < next && right < label->support)
            continue;
        next += step;
        put(page, "%.1f,%.1f ", 100 * (double)right / (double)label->support,
            100 - 100 * (double)right / (double)(r + 1));
    }
    put_text(page, "\"/>");
    if (label->predicted > 0 && label->support > 0)
        put(page, "<circle class=\"at\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/>",
            100 * label->recall.value, 100 - 100 * label->precision.value);
    put_text(page, "</svg>");
}

/* The share that carries the label, over the probability that was said. */
static void put_reliability(struct page *page, const struct evaluate_bin bins[EVALUATE_BINS])
{
    char points[EVALUATE_BINS * 32] = "";
    size_t used = 0;
    open_square(page, "share over probability");
    put_text(page, "<line class=\"even\" x1=\"0\" y1=\"100\" x2=\"100\" y2=\"0\"/>");
    for (size_t b = 0; b < EVALUATE_BINS; b++) {
        if (bins[b].count < BIN_SCORES_MIN)
            continue;
        double x = 100 * bins[b].probability_sum / (double)bins[b].count;
        double y = 100 - 100 * (double)bins[b].right / (double)bins[b].count;
        used += (size_t)snprintf(points + used, sizeof(points) - used, "%.1f,%.1f ", x, y);
        put(page, "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\"/>", x, y);
    }
    put(page, "<polyline class=\"curve\" points=\"%s\"/></svg>", points);
}

static void put_pair(struct page *page, const struct evaluation *evaluation, size_t l)
{
    const struct evaluate_label *label = &evaluation->labels[l];
    char average_precision[EVALUATE_TEXT_BYTES];
    put_text(page, "<figure><figcaption>");
    put_escaped(page, label->label->name);
    put_text(page, "</figcaption><div class=\"pair\"><div>");
    put_precision_recall(page, evaluation, l);
    put(page, "precision over recall, area %s</div><div>",
        evaluate_value_text(label->average_precision, average_precision));
    put_reliability(page, label->bins);
    put_text(page, "share over probability</div></div></figure>\n");
}

/*
 * --- figures
 * ------------------------------------------------------------------------------------------------
 */

static void put_card(struct page *page, const char *name, const struct evaluate_figure *figure)
{
    char value[EVALUATE_TEXT_BYTES];
    put(page, "<div class=\"card\"><span>%s</span><b>%s</b>", name,
        evaluate_value_text(figure->value, value));
    if (!isnan(figure->low))
        put(page, "<span>%.3f to %.3f</span>", figure->low, figure->high);
    put_text(page, "</div>");
}

static void put_cards(struct page *page, const struct evaluation *evaluation)
{
    put_text(page, "<div class=\"cards\">");
    put_card(page, "macro precision", &evaluation->macro.precision);
    put_card(page, "macro recall", &evaluation->macro.recall);
    put_card(page, "macro F1", &evaluation->macro.f1);
    put_card(page, "micro precision", &evaluation->micro.precision);
    put_card(page, "micro recall", &evaluation->micro.recall);
    put_card(page, "micro F1", &evaluation->micro.f1);
    put_text(page, "</div>\n");
}

static void put_cell(struct page *page, const struct evaluate_figure *figure)
{
    char value[EVALUATE_TEXT_BYTES];
    put(page, "<td>%s", evaluate_value_text(figure->value, value));
    if (!isnan(figure->value))
        put(page, " <small>%.2f to %.2f</small>", figure->low, figure->high);
    put_text(page, "</td>");
}

static void put_row(struct page *page, const struct evaluate_label *label)
{
    char figure[EVALUATE_TEXT_BYTES];
    put(page, "<tr%s><td>", label->label->predictable ? "" : " class=\"never\"");
    put_escaped(page, label->label->name);
    put(page, "</td><td>%zu</td><td>%zu</td><td>", label->support, label->predicted);
    if (label->label->predictable)
        put(page, "%.3f</td>", label->label->threshold);
    else {
        put_text(page, "<span title=\"");
        put_escaped(page, label->label->reason);
        put_text(page, "\">never</span></td>");
    }
    put_cell(page, &label->precision);
    put_cell(page, &label->recall);
    put(page, "<td>%.3f</td>", label->f1);
    put(page, "<td>%s</td></tr>\n", evaluate_value_text(label->average_precision, figure));
}

static void put_table(struct page *page, const struct evaluation *evaluation)
{
    put_text(page,
             "<h2>Labels</h2><div "
             "class=\"wide\"><table><tr><th>label</th><th>support</th><th>predicted</th>"
             "<th>threshold</th><th>precision</th><th>recall</th><th>F1</th><th>area</th></tr>\n");
    for (size_t l = 0; l < evaluation->label_count; l++)
        put_row(page, &evaluation->labels[l]);
    put_text(page, "</table></div>\n");
}

static void put_all_reliability(struct page *page, const struct evaluation *evaluation)
{
    struct evaluate_bin bins[EVALUATE_BINS] = {{0}};
    char error_text[EVALUATE_TEXT_BYTES];
    for (size_t l = 0; l < evaluation->label_count; l++)
        for (size_t b = 0; b < EVALUATE_BINS; b++) {
            bins[b].count += evaluation->labels[l].bins[b].count;
            bins[b].right += evaluation->labels[l].bins[b].right;
            bins[b].probability_sum += evaluation->labels[l].bins[b].probability_sum;
        }
    put_text(page, "<h2>Curves</h2><p class=\"soft\">Left: precision over recall as the threshold "
                   "falls; the dot is where "
                   "the threshold stands. Right: how often a probability was right; on the dashed "
                   "line it tells the truth.</p>"
                   "<div class=\"curves\"><figure><figcaption>all labels together</figcaption><div "
                   "class=\"pair\"><div>");
    put_reliability(page, bins);
    put(page,
        "share over probability</div><div>Probabilities are off by %s on average (expected "
        "calibration error).</div>"
        "</div></figure>\n",
        evaluate_value_text(evaluation->expected_calibration_error, error_text));
}

int report_html(const struct evaluation *evaluation, struct buffer *buffer)
{
    struct page page = {.buffer = buffer};
    put_text(
        &page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
        "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>Model ");
    put(&page, "%s</title>\n", classifier_version(evaluation->classifier));
    put_text(&page, STYLE);
    put(&page,
        "</head><body>\n<h1>Model %s</h1>\n<p class=\"soft\">Judged on %zu issues that carry %zu "
        "of its %zu labels. "
        "A label that is never predicted counts as recall 0 and F1 0; macro precision is over "
        "labels predicted at least "
        "once. Small figures are 95%% intervals.</p>\n",
        classifier_version(evaluation->classifier), evaluation->row_count,
        evaluation->supported_count, evaluation->label_count);
    put_cards(&page, evaluation);
    put_table(&page, evaluation);
    put_all_reliability(&page, evaluation);
    for (size_t l = 0; l < evaluation->label_count; l++)
        if (evaluation->labels[l].support > 0)
            put_pair(&page, evaluation, l);
    put_text(&page, "</div>\n</body></html>\n");
    return page.result;
}
