/*
 * What people read about options: `--help`, `--list-options` and the complaint about a bad command line.
 *
 * Design: one column of flags, one of text, wrapped to the terminal. What a row's help need not repeat (default,
 * bounds, environment variable) is added in brackets behind it, from the same table that parses.
 *
 *      Delivery:
 *        -b, --body-limit SIZE  Largest body that is read. [default: 25MiB; 1KiB to 1GiB;
 *                               NODAG_BODY_LIMIT]
 *
 * Invariant: plain text, except for bold headings on a terminal.
 */
#include "base/option_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Width where there is no terminal to ask. */
#define HELP_WIDTH 80

/* Narrowest and widest width that is used: narrower cannot be laid out, wider cannot be read. */
#define HELP_WIDTH_LEAST 40
#define HELP_WIDTH_MOST 110

/* Widest column of flags; longer flags stand on a line of their own. */
#define HELP_FLAGS_WIDTH_MOST 30

/* Longest flags text: letter, name and placeholder. */
#define HELP_FLAGS_BYTES 160

/* Longest text of the brackets. */
#define HELP_FACTS_BYTES 512

/* Spaces before examples and before paragraphs' own lines. */
#define HELP_INDENT 2

/* What is said below the options about where values come from. */
#define HELP_SOURCES_START                                                                         \
    "Settings come from flags, else from the environment variables named in brackets (several "    \
    "values separated by `;`), else "
#define HELP_SOURCES HELP_SOURCES_START "they are the defaults."
#define HELP_SOURCES_WITH_FILE                                                                     \
    HELP_SOURCES_START                                                                             \
    "from the file of --config (lines `name = value`, and lines that begin with #), else they "    \
    "are the defaults."

/* Where help goes and where it stands. */
struct help_page {
    FILE *stream;      /* borrowed */
    size_t width;      /* columns of the page */
    bool bold;         /* the stream is a terminal */
    size_t column;     /* 0-based column of the next character */
    size_t text_start; /* column of the help texts */
};

static size_t help_columns(const char *text, size_t text_bytes)
{
    size_t columns = 0;
    for (size_t i = 0; i < text_bytes; i++)
        columns += ((unsigned char)text[i] & 0xc0) != 0x80 ? 1 : 0; /* no continuation of UTF-8 */
    return columns;
}

static void help_put(struct help_page *page, const char *text, size_t text_bytes)
{
    (void)fwrite(text, 1, text_bytes, page->stream);
    page->column += help_columns(text, text_bytes);
}

static void help_end_line(struct help_page *page)
{
    (void)fputc('\n', page->stream);
    page->column = 0;
}

static void help_pad(struct help_page *page, size_t column)
{
    while (page->column < column)
        help_put(page, " ", 1);
}

/* Puts words, from the present column on, and wraps to `indent`; the line stays open. */
static void help_put_words(struct help_page *page, const char *text, size_t text_bytes,
                           size_t indent)
{
    const char *end = text + text_bytes;
    for (const char *next = text; next < end;) {
        if (*next == ' ' || *next == '\n') {
            next++;
            continue;
        }
        const char *word = next;
        while (next < end && *next != ' ' && *next != '\n')
            next++;
        size_t word_bytes = (size_t)(next - word);
        if (page->column > indent &&
            page->column + 1 + help_columns(word, word_bytes) > page->width)
            help_end_line(page);
        if (page->column > indent)
            help_put(page, " ", 1);
        help_pad(page, indent);
        help_put(page, word, word_bytes);
    }
}

/* Puts paragraphs, separated by empty lines; a line that begins with a space stands as it is. */
static void help_put_paragraphs(struct help_page *page, const char *text)
{
    while (*text != '\0') {
        size_t line_bytes = strcspn(text, "\n");
        if (line_bytes == 0 || *text == ' ') {
            if (page->column > 0)
                help_end_line(page);
            help_put(page, text, line_bytes);
            help_end_line(page);
        } else {
            help_put_words(page, text, line_bytes, 0);
        }
        text += line_bytes + (text[line_bytes] == '\n' ? 1 : 0);
    }
    if (page->column > 0)
        help_end_line(page);
}

static void help_put_heading(struct help_page *page, const char *text)
{
    help_end_line(page);
    fprintf(page->stream, page->bold ? "\033[1m%s:\033[0m" : "%s:", text);
    help_end_line(page);
}

/* Writes "-b, --body-limit SIZE"; flags that are on by default are shown as what switches them off. */
static void help_flags_to_text(const struct option_row *row, char ret_text[HELP_FLAGS_BYTES])
{
    char letter[8] = "    ";
    bool is_flag = row->kind == OPTION_FLAG;
    bool is_on = is_flag && row->default_value != NULL && strcmp(row->default_value, "true") == 0;
    if (row->letter != '\0' && !is_on)
        (void)snprintf(letter, sizeof(letter), "-%c, ", row->letter);
    (void)snprintf(ret_text, HELP_FLAGS_BYTES, "%s--%s%s%s%s", letter, is_on ? "no-" : "",
                   row->name, is_flag ? "" : " ", is_flag ? "" : option_placeholder(row));
}

/* Adds "; text" to the facts, or "text" where it is the first; what does not fit is left out. */
static void help_add_fact(char facts[HELP_FACTS_BYTES], const char *label, const char *text)
{
    size_t used = strlen(facts);
    (void)snprintf(facts + used, HELP_FACTS_BYTES - used, "%s%s%s", used > 1 ? "; " : "", label,
                   text);
}

/* Writes what the table knows about a row: "[default: 10s; 1s to 5m; NODAG_DRAIN_TIMEOUT]". */
static void help_facts_to_text(const struct option_row *row, char ret_text[HELP_FACTS_BYTES])
{
    char bounds[OPTION_BOUND_BYTES];
    char environment[OPTION_ENVIRONMENT_BYTES];
    (void)snprintf(ret_text, HELP_FACTS_BYTES, "[");
    if (row->required)
        help_add_fact(ret_text, "required", "");
    if (row->kind == OPTION_TEXT_LIST)
        help_add_fact(ret_text, "may be repeated", "");
    if (row->default_value != NULL && row->kind != OPTION_FLAG)
        help_add_fact(ret_text, "default: ", row->default_value);
    if (row->kind == OPTION_CHOICE && row->value_name != NULL)
        help_add_fact(ret_text, "one of ", row->choices);
    if (option_has_bounds(row)) {
        option_bounds_to_text(row, bounds);
        help_add_fact(ret_text, "", bounds);
    }
    option_environment_name(row, environment);
    help_add_fact(ret_text, "", environment);
    size_t used = strlen(ret_text);
    (void)snprintf(ret_text + used, HELP_FACTS_BYTES - used, "]");
}

static void help_put_entry(struct help_page *page, const char *flags, const char *help,
                           const char *facts)
{
    help_pad(page, HELP_INDENT);
    help_put(page, flags, strlen(flags));
    if (page->column + HELP_INDENT > page->text_start)
        help_end_line(page);
    help_pad(page, page->text_start);
    help_put_words(page, help, strlen(help), page->text_start);
    help_put_words(page, facts, strlen(facts), page->text_start);
    help_end_line(page);
}

static void help_put_rows(struct help_page *page, const struct option_program *program)
{
    const char *group = NULL;
    for (size_t i = 0; i < program->row_count; i++) {
        const struct option_row *row = &program->rows[i];
        char flags[HELP_FLAGS_BYTES];
        char facts[HELP_FACTS_BYTES];
        const char *row_group = row->group != NULL ? row->group : group;
        if (row_group == NULL)
            row_group = "Options";
        if (group == NULL || strcmp(group, row_group) != 0)
            help_put_heading(page, row_group);
        group = row_group;
        help_flags_to_text(row, flags);
        help_facts_to_text(row, facts);
        help_put_entry(page, flags, row->help == NULL ? "" : row->help, facts);
    }
    help_put_heading(page, "Help");
    help_put_entry(page, "-h, --help", "Prints this and ends.", "");
    help_put_entry(page, "    --version", "Prints the version and ends.", "");
    help_put_entry(page, "    --list-options",
                   "Prints the flags, one a line, for shell completion.", "");
}

static void help_measure(struct help_page *page, const struct option_program *program)
{
    struct winsize window = {.ws_col = 0};
    int fd = fileno(page->stream);
    page->bold = fd >= 0 && isatty(fd) == 1;
    page->width = HELP_WIDTH;
    if (page->bold && ioctl(fd, TIOCGWINSZ, &window) == 0 && window.ws_col > 0)
        page->width = window.ws_col;
    if (page->width < HELP_WIDTH_LEAST)
        page->width = HELP_WIDTH_LEAST;
    if (page->width > HELP_WIDTH_MOST)
        page->width = HELP_WIDTH_MOST;
    size_t most = page->width / 2 < HELP_FLAGS_WIDTH_MOST ? page->width / 2 : HELP_FLAGS_WIDTH_MOST;
    size_t widest = strlen("    --list-options");
    for (size_t i = 0; i < program->row_count; i++) {
        char flags[HELP_FLAGS_BYTES];
        help_flags_to_text(&program->rows[i], flags);
        size_t columns = help_columns(flags, strlen(flags));
        if (columns <= most && columns > widest)
            widest = columns;
    }
    page->text_start = HELP_INDENT + widest + HELP_INDENT;
}

static void help_put_sources(struct help_page *page, const struct option_program *program)
{
    bool has_file = false;
    for (size_t i = 0; i < program->row_count; i++)
        has_file = has_file || strcmp(program->rows[i].name, "config") == 0;
    if (program->row_count == 0)
        return;
    help_end_line(page);
    help_put_paragraphs(page, has_file ? HELP_SOURCES_WITH_FILE : HELP_SOURCES);
}

void option_print_help(const struct option_program *program, FILE *stream)
{
    struct help_page page = {.stream = stream};
    help_measure(&page, program);
    help_put(&page, program->name, strlen(program->name));
    help_put(&page, " -", 2);
    help_put_words(&page, program->summary, strlen(program->summary), HELP_INDENT);
    help_end_line(&page);
    help_put_heading(&page, "Usage");
    help_pad(&page, HELP_INDENT);
    help_put(&page, program->name, strlen(program->name));
    if (program->usage != NULL)
        help_put_words(&page, program->usage, strlen(program->usage), 2 * HELP_INDENT);
    help_end_line(&page);
    if (program->description != NULL) {
        help_end_line(&page);
        help_put_paragraphs(&page, program->description);
    }
    help_put_rows(&page, program);
    help_put_sources(&page, program);
    if (program->examples != NULL) {
        help_put_heading(&page, "Examples");
        for (const char *line = program->examples; *line != '\0';) {
            size_t line_bytes = strcspn(line, "\n");
            help_pad(&page, line_bytes > 0 ? HELP_INDENT : 0);
            help_put(&page, line, line_bytes);
            help_end_line(&page);
            line += line_bytes + (line[line_bytes] == '\n' ? 1 : 0);
        }
    }
}

void option_print_list(const struct option_program *program, FILE *stream)
{
    for (size_t i = 0; i < program->row_count; i++) {
        fprintf(stream, "--%s\n", program->rows[i].name);
        if (program->rows[i].kind == OPTION_FLAG)
            fprintf(stream, "--no-%s\n", program->rows[i].name);
    }
    fprintf(stream, "--help\n--version\n--list-options\n");
}

int option_complain(const struct option_program *program, const struct error *error)
{
    fprintf(stderr, "%s: %s\nTry '%s --help'.\n", program->name, error->text, program->name);
    return EXIT_STATUS_USAGE;
}

bool option_begin(const struct option_program *program, int argc, char **argv, void *settings,
                  int *ret_first, int *ret_status)
{
    struct error error = {0};
    enum option_result result = OPTION_RUN;
    int first = 0;
    int code = option_parse(program, argc, argv, settings, &first, &result, &error);
    *ret_status = code != 0 ? option_complain(program, &error) : EXIT_STATUS_OK;
    if (ret_first != NULL)
        *ret_first = first;
    return code == 0 && result == OPTION_RUN;
}
