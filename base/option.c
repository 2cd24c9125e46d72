/*
 * Where the values of options come from: see option.h.
 *
 * Design: the command line is read first, into a list of assignments, because it may say --help (then nothing else
 * matters) or name the configuration file (which stands below it). Then the sources are applied from the weakest to
 * the strongest, each value through option_store, so that a bad value is found even where a stronger source
 * overrides it: it would surprise later.
 *
 *      default ──▶ file of --config ──▶ environment ──▶ command line ──▶ settings
 *
 * Own parser instead of getopt_long, which accepts abbreviations (a flag added later changes what they mean) and
 * prints its own messages.
 *
 * Invariant: what the settings point to lives as long as the process: in argv, the environment, the rows, or in
 * the list of kept texts.
 */
#include "base/option.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/nearest.h"
#include "base/option_internal.h"

/* Largest configuration file: hundreds of options with long comments. */
#define OPTION_FILE_MAX_BYTES (256u << 10)

/* Separates the values of a repeatable option in the environment and in a default. */
#define OPTION_LIST_SEPARATOR ";"

/* Longest path that is quoted in an error, longest "FILE:LINE", longest "in FILE:LINE". */
#define OPTION_PATH_SHOWN_BYTES 200
#define OPTION_PLACE_BYTES (OPTION_PATH_SHOWN_BYTES + 16)
#define OPTION_ORIGIN_BYTES (OPTION_PLACE_BYTES + 8)

/* Name of the option that names the configuration file. */
#define OPTION_CONFIG_NAME "config"

/* Where a row's value came from so far; rising precedence. */
enum option_rank {
    OPTION_RANK_ABSENT,       /* nowhere */
    OPTION_RANK_DEFAULT,      /* the row */
    OPTION_RANK_FILE,         /* the configuration file */
    OPTION_RANK_ENVIRONMENT,  /* an environment variable */
    OPTION_RANK_COMMAND_LINE, /* a flag */
};

/* One flag as it stood on the command line. */
struct option_assignment {
    const struct option_row *row; /* borrowed */
    const char *text;             /* borrowed from argv, or a literal for flags without a value */
};

/* One call of option_parse. */
struct option_parser {
    const struct option_program *program;  /* borrowed */
    void *settings;                        /* borrowed */
    enum option_rank *ranks;               /* owned; one for each row */
    struct option_assignment *assignments; /* owned; in the order of argv */
    size_t assignment_count;               /* in use; ≤ argc, and letters of clusters */
    char **positionals;                    /* owned array of borrowed arguments */
    int positional_count;                  /* in use */
    enum option_result result;             /* what to do next */
    struct error *error;                   /* borrowed; may be NULL */
};

/* A text that lives as long as the process; the list keeps it reachable. */
struct option_kept {
    struct option_kept *next; /* owned */
    char text[];              /* NUL-terminated */
};

static struct option_kept *option_kept_first;

static const char *option_keep(const char *text, size_t text_bytes)
{
    struct option_kept *kept = mem_alloc(sizeof(*kept) + text_bytes + 1);
    memcpy(kept->text, text, text_bytes);
    kept->next = option_kept_first;
    option_kept_first = kept;
    return kept->text;
}

/* Finds the row called by the first `name_bytes` of `name`, or NULL. */
static const struct option_row *option_find(const struct option_program *program, const char *name,
                                            size_t name_bytes)
{
    for (size_t i = 0; i < program->row_count; i++) {
        const struct option_row *row = &program->rows[i];
        if (strlen(row->name) == name_bytes && strncmp(row->name, name, name_bytes) == 0)
            return row;
    }
    return NULL;
}

static const struct option_row *option_find_letter(const struct option_program *program,
                                                   char letter)
{
    for (size_t i = 0; i < program->row_count; i++) {
        if (letter != '\0' && program->rows[i].letter == letter)
            return &program->rows[i];
    }
    return NULL;
}

/* Returns the known name nearest to `name`, or NULL. */
static const char *option_nearest(const struct option_program *program, const char *name)
{
    static const char *const common[] = {"help", "version", "list-options"};
    size_t common_count = ARRAY_COUNT(common);
    CLEANUP(mem_free)
    const char **names = mem_alloc_array(program->row_count + common_count, sizeof(*names));
    for (size_t i = 0; i < program->row_count; i++)
        names[i] = program->rows[i].name;
    memcpy(names + program->row_count, common, sizeof(common));
    return nearest_name(name, names, program->row_count + common_count);
}

/* Stores one value of a source; a list takes further values of the same source in addition. */
static int option_apply(struct option_parser *parser, const struct option_row *row,
                        enum option_rank rank, const char *text, const char *origin)
{
    enum option_rank *row_rank = &parser->ranks[row - parser->program->rows];
    struct option_value value = {
        .row = row, .text = text, .origin = origin, .append = *row_rank == rank};
    *row_rank = rank;
    return option_store(&value, parser->settings, parser->error);
}

/* Stores a value that may hold several of a list, separated; empty parts are left out. */
static int option_apply_separated(struct option_parser *parser, const struct option_row *row,
                                  enum option_rank rank, const char *text, const char *origin)
{
    if (row->kind != OPTION_TEXT_LIST)
        return option_apply(parser, row, rank, text, origin);
    for (const char *next = text; *next != '\0';) {
        size_t part_bytes = strcspn(next, OPTION_LIST_SEPARATOR);
        if (part_bytes > 0) {
            const char *part = option_keep(next, part_bytes);
            int code = option_apply(parser, row, rank, part, origin);
            if (code != 0)
                return code;
        }
        next += part_bytes + (next[part_bytes] == '\0' ? 0 : 1);
    }
    return 0;
}

static int option_apply_defaults(struct option_parser *parser)
{
    for (size_t i = 0; i < parser->program->row_count; i++) {
        const struct option_row *row = &parser->program->rows[i];
        option_store_absent(row, parser->settings);
        if (row->default_value == NULL)
            continue;
        int code = option_apply_separated(parser, row, OPTION_RANK_DEFAULT, row->default_value,
                                          "the built-in default");
        assert(code == 0); /* the table is wrong, not the user */
        if (code != 0)
            return code;
    }
    return 0;
}

static int option_apply_environment(struct option_parser *parser)
{
    for (size_t i = 0; i < parser->program->row_count; i++) {
        const struct option_row *row = &parser->program->rows[i];
        char name[OPTION_ENVIRONMENT_BYTES];
        char origin[OPTION_ORIGIN_BYTES];
        option_environment_name(row, name);
        const char *text = getenv(name);
        if (text == NULL || text[0] == '\0')
            continue;
        (void)snprintf(origin, sizeof(origin), "in %s", name);
        const char *kept = option_keep(text, strlen(text));
        int code = option_apply_separated(parser, row, OPTION_RANK_ENVIRONMENT, kept, origin);
        if (code != 0)
            return code;
    }
    return 0;
}

static int option_apply_command_line(struct option_parser *parser)
{
    for (size_t i = 0; i < parser->assignment_count; i++) {
        const struct option_assignment *assignment = &parser->assignments[i];
        int code = option_apply(parser, assignment->row, OPTION_RANK_COMMAND_LINE, assignment->text,
                                "on the command line");
        if (code != 0)
            return code;
    }
    return 0;
}

/* Cuts white space off both ends, in place. */
static char *option_trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t length = strlen(text);
    while (length > 0 && isspace((unsigned char)text[length - 1]))
        length--;
    text[length] = '\0';
    return text;
}

/* Takes one line `name = value` of the file; `place` is "FILE:LINE". */
static int option_apply_line(struct option_parser *parser, char *line, const char *place)
{
    char *text = option_trim(line);
    if (text[0] == '\0' || text[0] == '#')
        return 0;
    char *equals = strchr(text, '=');
    if (equals == NULL)
        return error_set(parser->error, ERR_USAGE, "%s: no '=' in this line; write name = value",
                         place);
    *equals = '\0';
    const char *name = option_trim(text);
    const struct option_row *row = option_find(parser->program, name, strlen(name));
    if (row == NULL) {
        const char *near = option_nearest(parser->program, name);
        return error_set(parser->error, ERR_USAGE, "%s: unknown option '%s'%s%s%s", place, name,
                         near == NULL ? "" : "; did you mean '", near == NULL ? "" : near,
                         near == NULL ? "" : "'?");
    }
    if (strcmp(name, OPTION_CONFIG_NAME) == 0)
        return error_set(parser->error, ERR_USAGE,
                         "%s: 'config' cannot stand in a configuration file", place);
    if (parser->ranks[row - parser->program->rows] == OPTION_RANK_FILE &&
        row->kind != OPTION_TEXT_LIST)
        return error_set(parser->error, ERR_USAGE, "%s: '%s' is set a second time", place, name);
    char origin[OPTION_ORIGIN_BYTES];
    (void)snprintf(origin, sizeof(origin), "in %s", place);
    const char *value = option_trim(equals + 1);
    return option_apply(parser, row, OPTION_RANK_FILE, option_keep(value, strlen(value)), origin);
}

static int option_apply_file(struct option_parser *parser, const char *path)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(OPTION_FILE_MAX_BYTES);
    int code = file_read(path, &text, parser->error);
    if (code != 0)
        return error_prefix(parser->error, ERR_USAGE, "--config");
    if (text.size_bytes == 0)
        return 0;
    if (strlen(text.data) != text.size_bytes)
        return error_set(parser->error, ERR_USAGE, "--config: %s holds a NUL character: no text",
                         path);
    char *rest = text.data;
    for (int line_number = 1; rest != NULL; line_number++) {
        char place[OPTION_PLACE_BYTES];
        char *line = strsep(&rest, "\n");
        (void)snprintf(place, sizeof(place), "%.*s:%d", OPTION_PATH_SHOWN_BYTES, path, line_number);
        code = option_apply_line(parser, line, place);
        if (code != 0)
            return code;
    }
    return 0;
}

/* Returns the path of the configuration file by the strongest source that names one, or NULL. */
static const char *option_config_path(const struct option_parser *parser)
{
    const struct option_row *row =
        option_find(parser->program, OPTION_CONFIG_NAME, strlen(OPTION_CONFIG_NAME));
    if (row == NULL)
        return NULL;
    for (size_t i = parser->assignment_count; i > 0; i--) {
        if (parser->assignments[i - 1].row == row)
            return parser->assignments[i - 1].text;
    }
    char name[OPTION_ENVIRONMENT_BYTES];
    option_environment_name(row, name);
    const char *text = getenv(name);
    return text != NULL && text[0] != '\0' ? text : row->default_value;
}

/* Remembers a flag; always 0, so that callers can end with it. */
static int option_assign(struct option_parser *parser, const struct option_row *row,
                         const char *text)
{
    parser->assignments = mem_resize_array(parser->assignments, parser->assignment_count + 1,
                                           sizeof(*parser->assignments));
    parser->assignments[parser->assignment_count++] =
        (struct option_assignment){.row = row, .text = text};
    return 0;
}

/* Answers what every program answers. Returns false if `name` is none of that. */
static bool option_answer(struct option_parser *parser, const char *name)
{
    if (strcmp(name, "help") == 0)
        option_print_help(parser->program, stdout);
    else if (strcmp(name, "version") == 0)
        printf("%s %s\n", parser->program->name, NODAG_VERSION);
    else if (strcmp(name, "list-options") == 0)
        option_print_list(parser->program, stdout);
    else
        return false;
    (void)fflush(stdout);
    parser->result = OPTION_EXIT;
    return true;
}

static int option_unknown(struct option_parser *parser, const char *name, size_t name_bytes)
{
    char copy[OPTION_NAME_BYTES];
    (void)snprintf(copy, sizeof(copy), "%.*s", (int)name_bytes, name);
    const char *near = option_nearest(parser->program, copy);
    return error_set(parser->error, ERR_USAGE, "unknown option --%s%s%s%s", copy,
                     near == NULL ? "" : "; did you mean --", near == NULL ? "" : near,
                     near == NULL ? "" : "?");
}

/* Takes `--name`, `--name=value`, `--name value` or `--no-name`; `argument` is what follows the dashes. */
static int option_take_long(struct option_parser *parser, const char *argument, const char *next,
                            bool *ret_next_used)
{
    size_t name_bytes = strcspn(argument, "=");
    const char *value = argument[name_bytes] == '=' ? argument + name_bytes + 1 : NULL;
    const struct option_row *row = option_find(parser->program, argument, name_bytes);
    if (row == NULL && value == NULL && strncmp(argument, "no-", 3) == 0) {
        row = option_find(parser->program, argument + 3, name_bytes - 3);
        if (row != NULL && row->kind == OPTION_FLAG)
            return option_assign(parser, row, "false");
        row = NULL;
    }
    if (row == NULL && value == NULL && option_answer(parser, argument))
        return 0;
    if (row == NULL)
        return option_unknown(parser, argument, name_bytes);
    if (value == NULL && row->kind == OPTION_FLAG)
        value = "true";
    if (value == NULL) {
        value = next;
        *ret_next_used = true;
    }
    if (value == NULL)
        return error_set(parser->error, ERR_USAGE, "--%s needs a value: --%s %s", row->name,
                         row->name, option_placeholder(row));
    return option_assign(parser, row, value);
}

/* Takes `-x value`, `-xvalue`, or several flags in one, `-xyz`; `letters` is what follows the dash. */
static int option_take_short(struct option_parser *parser, const char *letters, const char *next,
                             bool *ret_next_used)
{
    for (; *letters != '\0'; letters++) {
        const struct option_row *row = option_find_letter(parser->program, *letters);
        if (row == NULL && *letters == 'h' && option_answer(parser, "help"))
            return 0;
        if (row == NULL)
            return error_set(parser->error, ERR_USAGE, "unknown option -%c", *letters);
        if (row->kind == OPTION_FLAG) {
            (void)option_assign(parser, row, "true");
            continue;
        }
        *ret_next_used = letters[1] == '\0';
        const char *value = *ret_next_used ? next : letters + 1;
        if (value == NULL)
            return error_set(parser->error, ERR_USAGE, "-%c needs a value: -%c %s", *letters,
                             *letters, option_placeholder(row));
        return option_assign(parser, row, value);
    }
    return 0;
}

/* Reads argv into assignments and positionals, and permutes it. */
static int option_read_arguments(struct option_parser *parser, int argc, char **argv)
{
    int options_end = argc > 0 ? 1 : 0;
    bool only_positionals = false;
    for (int i = 1; i < argc && parser->result == OPTION_RUN; i++) {
        char *argument = argv[i];
        const char *next = i + 1 < argc ? argv[i + 1] : NULL;
        bool next_used = false;
        int code = 0;
        if (only_positionals || argument[0] != '-' || argument[1] == '\0') {
            parser->positionals[parser->positional_count++] = argument;
            continue;
        }
        if (strcmp(argument, "--") == 0)
            only_positionals = true;
        else if (argument[1] == '-')
            code = option_take_long(parser, argument + 2, next, &next_used);
        else
            code = option_take_short(parser, argument + 1, next, &next_used);
        if (code != 0)
            return code;
        argv[options_end++] = argument;
        if (next_used)
            argv[options_end++] = argv[++i];
    }
    for (int i = 0; i < parser->positional_count && parser->result == OPTION_RUN; i++)
        argv[options_end + i] = parser->positionals[i];
    return 0;
}

/* Applies all sources in rising order of precedence. */
static int option_apply_all(struct option_parser *parser)
{
    int code = option_apply_defaults(parser);
    const char *path = option_config_path(parser);
    if (code == 0 && path != NULL)
        code = option_apply_file(parser, path);
    if (code == 0)
        code = option_apply_environment(parser);
    if (code == 0)
        code = option_apply_command_line(parser);
    return code;
}

/* Checks what can only be known at the end: required options and the number of other arguments. */
static int option_check_complete(const struct option_parser *parser)
{
    const struct option_program *program = parser->program;
    for (size_t i = 0; i < program->row_count; i++) {
        char name[OPTION_ENVIRONMENT_BYTES];
        if (!program->rows[i].required || parser->ranks[i] != OPTION_RANK_ABSENT)
            continue;
        option_environment_name(&program->rows[i], name);
        return error_set(parser->error, ERR_USAGE, "--%s is missing: give --%s %s or set %s",
                         program->rows[i].name, program->rows[i].name,
                         option_placeholder(&program->rows[i]), name);
    }
    if (parser->positional_count < program->positional_least)
        return error_set(parser->error, ERR_USAGE, "an argument is missing: %s %s", program->name,
                         program->usage == NULL ? "" : program->usage);
    if (program->positional_most >= 0 && parser->positional_count > program->positional_most)
        return error_set(parser->error, ERR_USAGE, "unexpected argument '%s'",
                         parser->positionals[program->positional_most]);
    return 0;
}

static int option_run(struct option_parser *parser, int argc, char **argv)
{
    int code = option_read_arguments(parser, argc, argv);
    if (code == 0 && parser->result == OPTION_RUN)
        code = option_apply_all(parser);
    if (code == 0 && parser->result == OPTION_RUN)
        code = option_check_complete(parser);
    return code;
}

int option_parse(const struct option_program *program, int argc, char **argv, void *settings,
                 int *ret_first, enum option_result *ret_result, struct error *error)
{
    struct option_parser parser = {
        .program = program,
        .settings = settings,
        .ranks = mem_alloc_array(program->row_count, sizeof(*parser.ranks)),
        .positionals = mem_alloc_array((size_t)argc + 1, sizeof(*parser.positionals)),
        .result = OPTION_RUN,
        .error = error,
    };
    int code = option_run(&parser, argc, argv);
    free(parser.ranks);
    free(parser.assignments);
    free(parser.positionals);
    if (code != 0)
        return code;
    *ret_first = argc - (parser.result == OPTION_RUN ? parser.positional_count : 0);
    *ret_result = parser.result;
    return 0;
}
