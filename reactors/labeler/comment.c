/*
 * The one comment under an issue: see comment.h. Markdown as GitHub renders it (GFM tables).
 */
#include "reactors/labeler/comment.h"

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/memory.h"

/* Longest code span: a label's name has at most 50 characters, a word of an explanation hardly
 * more. */
#define COMMENT_SPAN_MAX_BYTES 256

/* A row of the table before it is sorted. */
struct comment_row {
    size_t index;       /* of the candidate */
    double probability; /* for sorting */
};

bool comment_has_marker(const char *body)
{
    return strncmp(body, COMMENT_MARKER, strlen(COMMENT_MARKER)) == 0;
}

/* The verdict as it reads before and after it was acted on: see comment.h. */
static enum plan_verdict comment_settled(const struct plan_candidate *candidate,
                                         const struct plan_decision *decision)
{
    switch (decision->verdict) {
    case PLAN_KEEP:
        return PLAN_ADD;
    case PLAN_REMOVE:
        return plan_why_not_predicted(candidate);
    case PLAN_TAKE_BACK:
        return candidate->predicted ? PLAN_REMOVED_BY_PERSON : plan_why_not_predicted(candidate);
    case PLAN_GIVE_BACK:
        return candidate->predicted ? PLAN_ADD : PLAN_ADDED_BY_PERSON;
    default:
        return decision->verdict;
    }
}

static bool comment_is_shown(const struct plan_candidate *candidate,
                             const struct plan_decision *decision)
{
    if (!candidate->predictable)
        return false; /* it has no threshold that could be shown */
    switch (comment_settled(candidate, decision)) {
    case PLAN_BELOW:
    case PLAN_NOT_BEST:
    case PLAN_ADDED_BY_PERSON:
        return candidate->probability >= COMMENT_LEAST_PROBABILITY;
    default:
        return true;
    }
}

static int comment_compare_rows(const void *left, const void *right)
{
    const struct comment_row *a = left;
    const struct comment_row *b = right;
    if (a->probability != b->probability)
        return a->probability > b->probability ? -1 : 1;
    return a->index < b->index ? -1 : 1;
}

/* Returns true for a byte of a UTF-8 sequence that is not its first. */
static bool comment_is_continuation(char byte)
{
    return ((unsigned char)byte & 0xc0) == 0x80;
}

/* Appends a text as a code span; what could end it or the table's cell is left out. */
static int comment_append_code(struct buffer *text, const char *part, size_t part_bytes)
{
    char safe[COMMENT_SPAN_MAX_BYTES];
    size_t safe_bytes = 0;
    size_t i = 0;
    for (; i < part_bytes && safe_bytes < sizeof(safe); i++) {
        unsigned char byte = (unsigned char)part[i];
        if (byte >= 0x20 && byte != '`' && byte != '|' && byte != 0x7f)
            safe[safe_bytes++] = (char)byte;
    }
    if (i < part_bytes && comment_is_continuation(part[i])) {
        /* Cut inside a UTF-8 sequence: leave no half of it. */
        while (safe_bytes > 0 && comment_is_continuation(safe[safe_bytes - 1]))
            safe_bytes--;
        safe_bytes -= safe_bytes > 0 ? 1 : 0;
    }
    if (safe_bytes == 0)
        return 0;
    int code = buffer_append(text, "`", 1);
    if (code == 0)
        code = buffer_append(text, safe, safe_bytes);
    return code == 0 ? buffer_append(text, "`", 1) : code;
}

static int comment_append_words(struct buffer *text, const char *words)
{
    int code = 0;
    for (const char *part = words; code == 0 && part != NULL && *part != '\0';) {
        size_t part_bytes = strcspn(part, "\n");
        if (part != words)
            code = buffer_append_text(text, " ");
        if (code == 0)
            code = comment_append_code(text, part, part_bytes);
        part += part_bytes;
        part += *part == '\n' ? 1 : 0;
    }
    return code;
}

static int comment_append_row(struct buffer *text, const struct plan_candidate *candidate,
                              const struct plan_decision *decision, const char *words)
{
    int code = buffer_append_text(text, "| ");
    if (code == 0)
        code = comment_append_code(text, candidate->written, strlen(candidate->written));
    if (code == 0)
        code = buffer_append_format(text, " | %.0f%% | %.0f%% | %s | ",
                                    candidate->probability * 100, candidate->threshold * 100,
                                    plan_verdict_text(comment_settled(candidate, decision)));
    if (code == 0)
        code = comment_append_words(text, words);
    return code == 0 ? buffer_append_text(text, " |\n") : code;
}

static int comment_append_table(struct buffer *text, const struct plan_input *input,
                                const struct plan *plan, const char *const *words)
{
    CLEANUP(mem_free)
    struct comment_row *rows = mem_alloc_array(input->candidate_count, sizeof(*rows));
    size_t count = 0;
    for (size_t i = 0; i < input->candidate_count; i++)
        if (comment_is_shown(&input->candidates[i], &plan->decisions[i]))
            rows[count++] =
                (struct comment_row){.index = i, .probability = input->candidates[i].probability};
    qsort(rows, count, sizeof(rows[0]), comment_compare_rows);
    int code = buffer_append_text(
        text, "| label | probability | threshold | decision | words that speak for it |\n"
              "|---|---:|---:|---|---|\n");
    for (size_t i = 0; code == 0 && i < count && i < COMMENT_ROWS_MAX; i++) {
        size_t index = rows[i].index;
        code = comment_append_row(text, &input->candidates[index], &plan->decisions[index],
                                  words[index]);
    }
    return code;
}

char *comment_write(const struct plan_input *input, const struct plan *plan,
                    const char *const *words)
{
    struct buffer text = BUFFER_INIT(COMMENT_MAX_BYTES);
    int code = buffer_append_text(&text, COMMENT_MARKER
                                  "\nLabels for this issue, as a model sees it:\n\n");
    if (code == 0)
        code = comment_append_table(&text, input, plan, words);
    if (code == 0)
        code = buffer_append_format(
            &text,
            "\nIf a label is wrong, remove it: it will not come back. If one is missing, add it: "
            "it will "
            "stay. The next model learns from both.\n\n<sub>nodag, model %s</sub>\n",
            input->candidate_count > 0 ? input->candidates[0].model : "");
    (void)code; /* at most COMMENT_ROWS_MAX rows of bounded cells: far below the limit */
    return buffer_take(&text);
}
