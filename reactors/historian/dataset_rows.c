/*
 * Rows of a data set: see dataset_rows.h.
 */
#include "reactors/historian/dataset_rows.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "base/time_text.h"
#include "topics/holdback.h"
#include "topics/spec_schema.h"
#include "topics/subject.h"

/* Most bytes of one line: title and body, each character escaped, and the labels. */
#define ROW_MAX_BYTES ((size_t)16 << 20)

/* Most Labelers that are asked for their holdback. */
#define LABELERS_MAX 256

/* The newest name of a repository. */
struct repository_name {
    int64_t id;        /* of the repository */
    int64_t time_ms;   /* of the record */
    char *name;        /* owned */
    UT_hash_handle hh; /* by id */
};

/* A label of the data set. */
struct label_count {
    char *name;        /* owned */
    size_t examples;   /* rows that carry it */
    UT_hash_handle hh; /* by name */
};

/* One issue. */
struct dataset_issue {
    char key[48];                /* ID#number */
    struct issue_record *record; /* owned */
    UT_hash_handle hh;           /* by key */
};

/* What a label is in a row. */
enum label_role {
    ROLE_NONE,    /* of no use */
    ROLE_EXAMPLE, /* a person put it there */
    ROLE_REMOVED, /* a person took it away */
    ROLE_BY_BOT,  /* a bot put it there */
    ROLE_UNKNOWN, /* somebody put it there */
    ROLE_COUNT,   /* how many */
};

struct dataset_rows {
    const json_t *model;                  /* borrowed */
    bool count_unknown;                   /* see dataset_rows_new */
    int64_t max_age_ms;                   /* -1: none */
    size_t min_examples;                  /* of a label */
    const json_t *labelers[LABELERS_MAX]; /* borrowed documents */
    size_t labeler_count;                 /* of them */
    int64_t newest_ms;                    /* of all records */
    struct repository_name *names;        /* hash */
    struct dataset_issue *issues;         /* hash */
    struct label_count *labels;           /* hash */
    struct dataset_counts counts;         /* so far */
};

/* ---- the selection ---- */

struct dataset_rows *dataset_rows_new(const json_t *model, const struct spec_store *specs,
                                      bool count_unknown)
{
    struct dataset_rows *rows = MEM_NEW(struct dataset_rows);
    rows->model = model;
    rows->count_unknown = count_unknown;
    rows->max_age_ms = spec_get_duration_ms(SPEC_MODEL, model, "spec.data.maxAge");
    int64_t least = spec_get_integer(SPEC_MODEL, model, "spec.labels.minExamples");
    rows->min_examples = least > 0 ? (size_t)least : 0;
    size_t count = spec_store_count(specs);
    CLEANUP(mem_free) struct spec_entry *entries = spec_store_list(specs);
    for (size_t i = 0; i < count && rows->labeler_count < LABELERS_MAX; i++)
        if (strncmp(entries[i].key, "Labeler/", sizeof("Labeler/") - 1) == 0 &&
            entries[i].record->valid != NULL)
            rows->labelers[rows->labeler_count++] = entries[i].record->valid;
    return rows;
}

void dataset_rows_free(struct dataset_rows *rows)
{
    if (rows == NULL)
        return;
    struct repository_name *name = NULL;
    struct repository_name *next_name = NULL;
    HASH_ITER(hh, rows->names, name, next_name)
    {
        HASH_DEL(rows->names, name);
        mem_free(name->name);
        mem_free(name);
    }
    struct label_count *label = NULL;
    struct label_count *next_label = NULL;
    HASH_ITER(hh, rows->labels, label, next_label)
    {
        HASH_DEL(rows->labels, label);
        mem_free(label->name);
        mem_free(label);
    }
    struct dataset_issue *issue = NULL;
    struct dataset_issue *next_issue = NULL;
    HASH_ITER(hh, rows->issues, issue, next_issue)
    {
        HASH_DEL(rows->issues, issue);
        issue_record_free(issue->record);
        mem_free(issue);
    }
    mem_free(rows);
}

/* True if an entry of a list of globs matches. */
static bool list_matches(const json_t *list, const char *text)
{
    size_t index = 0;
    const json_t *item = NULL;
    json_array_foreach(list, index, item)
    {
        const char *glob = json_string_value(item);
        if (glob != NULL && spec_glob_matches(glob, text))
            return true;
    }
    return false;
}

/* The share of the repository's issues that are held back; 0: none. */
static double rows_holdback(const struct dataset_rows *rows, const char *repository)
{
    for (size_t i = 0; i < rows->labeler_count; i++)
        if (list_matches(spec_get(rows->labelers[i], "spec.repositories"), repository))
            return spec_get_number(SPEC_LABELER, rows->labelers[i], "spec.audit.holdback");
    return 0;
}

/* ---- the passes ---- */

static bool rows_want(const struct dataset_rows *rows, const struct issue_record *record);

void dataset_rows_note(struct dataset_rows *rows, const struct issue_record *record)
{
    struct repository_name *name = NULL;
    int64_t time_ms = record->as_of.time_ms;
    if (time_ms > rows->newest_ms)
        rows->newest_ms = time_ms;
    HASH_FIND(hh, rows->names, &record->repository_id, sizeof(record->repository_id), name);
    if (name == NULL) {
        name = MEM_NEW(struct repository_name);
        name->id = record->repository_id;
        name->time_ms = -1;
        HASH_ADD(hh, rows->names, id, sizeof(name->id), name);
    }
    /* Of two names of one second the larger, so that the order of partitions makes no difference. */
    if (time_ms < name->time_ms ||
        (time_ms == name->time_ms && strcmp(record->repository, name->name) <= 0))
        return;
    mem_free(name->name);
    name->name = mem_copy_text(record->repository);
    name->time_ms = time_ms;
}

static const char *rows_name(const struct dataset_rows *rows, int64_t repository_id)
{
    const struct repository_name *name = NULL;
    HASH_FIND(hh, rows->names, &repository_id, sizeof(repository_id), name);
    return name != NULL ? name->name : NULL;
}

void dataset_rows_remove(struct dataset_rows *rows, const char *key)
{
    struct dataset_issue *issue = NULL;
    HASH_FIND_STR(rows->issues, key, issue);
    if (issue == NULL)
        return;
    HASH_DEL(rows->issues, issue);
    issue_record_free(issue->record);
    mem_free(issue);
}

void dataset_rows_add(struct dataset_rows *rows, struct issue_record *record)
{
    char key[SUBJECT_KEY_BYTES];
    const char *repository = rows_name(rows, record->repository_id);
    subject_key_issue(record->repository_id, record->number, key);
    dataset_rows_remove(rows, key);
    if (repository == NULL ||
        !list_matches(spec_get(rows->model, "spec.data.repositories"), repository) ||
        !rows_want(rows, record)) {
        issue_record_free(record);
        return;
    }
    struct dataset_issue *issue = MEM_NEW(struct dataset_issue);
    assert(strlen(key) < sizeof(issue->key)); /* two numbers */
    memcpy(issue->key, key, strlen(key) + 1);
    issue->record = record;
    HASH_ADD_STR(rows->issues, key, issue);
}

/* ---- labels ---- */

static bool label_is_writable(const char *name)
{
    size_t left = strlen(name);
    if (left > DATASET_LABEL_MAX_BYTES || strchr(name, DATASET_LABEL_SEPARATOR) != NULL)
        return false;
    for (size_t step = 0; left > 0; left -= step, name += step) {
        step = text_printable_bytes(name, left);
        if (step == 0)
            return false;
    }
    return true;
}

static enum label_role label_role_of(const struct dataset_rows *rows,
                                     const struct issue_record *record,
                                     const struct issue_label *label)
{
    enum issue_actor by = issue_action_by(issue_label_last(record, label));
    if (!list_matches(spec_get(rows->model, "spec.labels.include"), label->name))
        return ROLE_NONE;
    if (!issue_label_is_present(record, label))
        return by == ISSUE_PERSON ? ROLE_REMOVED : ROLE_NONE;
    if (by == ISSUE_PERSON)
        return ROLE_EXAMPLE;
    if (by == ISSUE_UNKNOWN)
        return rows->count_unknown ? ROLE_EXAMPLE : ROLE_UNKNOWN;
    return ROLE_BY_BOT;
}

/* True if any of its labels is looked at: texts of other issues are not kept. */
static bool rows_want(const struct dataset_rows *rows, const struct issue_record *record)
{
    for (size_t i = 0; i < record->label_count; i++)
        if (label_role_of(rows, record, &record->labels[i]) != ROLE_NONE)
            return true;
    return false;
}

static void rows_count_label(struct dataset_rows *rows, const char *name)
{
    struct label_count *label = NULL;
    HASH_FIND_STR(rows->labels, name, label);
    if (label == NULL) {
        label = MEM_NEW(struct label_count);
        label->name = mem_copy_text(name);
        HASH_ADD_KEYPTR(hh, rows->labels, label->name, strlen(label->name), label);
    }
    label->examples++;
}

static bool rows_is_learnt(const struct dataset_rows *rows, const char *name)
{
    const struct label_count *label = NULL;
    HASH_FIND_STR(rows->labels, name, label);
    return label != NULL && label->examples >= rows->min_examples;
}

static bool rows_is_too_old(const struct dataset_rows *rows, const struct issue_record *record)
{
    return rows->max_age_ms >= 0 && record->created_ms < rows->newest_ms - rows->max_age_ms;
}

/* Counts the examples of every label, once all records are there. */
static void rows_count_labels(struct dataset_rows *rows)
{
    for (const struct dataset_issue *issue = rows->issues; issue != NULL; issue = issue->hh.next) {
        const struct issue_record *record = issue->record;
        if (record->erased_ms != 0 || rows_is_too_old(rows, record)) {
            rows->counts.erased += record->erased_ms != 0;
            rows->counts.too_old += record->erased_ms == 0;
            continue;
        }
        for (size_t i = 0; i < record->label_count; i++) {
            const char *name = record->labels[i].name;
            enum label_role role = label_role_of(rows, record, &record->labels[i]);
            rows->counts.by_bots += role == ROLE_BY_BOT;
            rows->counts.unknown += role == ROLE_UNKNOWN;
            if (role != ROLE_NONE && !label_is_writable(name))
                rows->counts.unwritable++;
            else if (role == ROLE_EXAMPLE)
                rows_count_label(rows, name);
        }
    }
    for (const struct label_count *label = rows->labels; label != NULL; label = label->hh.next) {
        bool is_learnt = label->examples >= rows->min_examples;
        rows->counts.labels += is_learnt;
        rows->counts.rare += !is_learnt;
    }
}

/* ---- writing ---- */

/* A row: labels by their role, each list a new reference. */
struct row {
    const char *repository;            /* borrowed */
    const struct issue_record *record; /* borrowed */
    json_t *lists[ROLE_COUNT];         /* owned; names */
    bool is_held_back;                 /* in the audit */
    int weight;                        /* 1 … DATASET_WEIGHT_MAX */
};

static void row_release(struct row *row)
{
    for (size_t i = 0; i < ROLE_COUNT; i++)
        json_decref(row->lists[i]);
}

static void row_fill(const struct dataset_rows *rows, const struct dataset_issue *issue,
                     struct row *row)
{
    const struct issue_record *record = issue->record;
    *row = (struct row){.repository = rows_name(rows, record->repository_id), .record = record};
    for (size_t i = 0; i < ROLE_COUNT; i++)
        row->lists[i] = json_array();
    for (size_t i = 0; i < record->label_count; i++) {
        const char *name = record->labels[i].name;
        enum label_role role = label_role_of(rows, record, &record->labels[i]);
        if (role != ROLE_NONE && label_is_writable(name) && rows_is_learnt(rows, name))
            (void)json_array_append_new(row->lists[role], json_string(name));
    }
    double share = rows_holdback(rows, row->repository);
    row->is_held_back = share > 0 && holdback_includes(issue->key, share);
    double weight = row->is_held_back ? round(1 / share) : 1;
    row->weight = weight > DATASET_WEIGHT_MAX ? DATASET_WEIGHT_MAX : (int)weight;
}

static char *row_json(const struct row *row, size_t *ret_bytes)
{
    const struct issue_record *record = row->record;
    char created[TIME_TEXT_BYTES];
    time_to_text(record->created_ms, created);
    CLEANUP(json_release)
    json_t *object = json_pack(
        "{s:s, s:I, s:s, s:O, s:o, s:o, s:O, s:O, s:O, s:b, s:i}", "repo", row->repository,
        "number", (json_int_t)record->number, "created_at", created, "label",
        row->lists[ROLE_EXAMPLE], "title", json_stringn(record->title.data, record->title.bytes),
        "body",
        record->body.data != NULL ? json_stringn(record->body.data, record->body.bytes)
                                  : json_null(),
        "removed", row->lists[ROLE_REMOVED], "by_bots", row->lists[ROLE_BY_BOT], "unknown",
        row->lists[ROLE_UNKNOWN], "held_back", row->is_held_back ? 1 : 0, "weight", row->weight);
    assert(object != NULL);
    size_t text_bytes = 0;
    char *text = json_write(object, &text_bytes);
    text = mem_resize_array(text, text_bytes + 2, 1);
    text[text_bytes] = '\n';
    text[text_bytes + 1] = '\0';
    *ret_bytes = text_bytes + 1;
    return text;
}

static void csv_put(struct buffer *line, const char *bytes, size_t byte_count)
{
    int code = buffer_append(line, bytes, byte_count);
    assert(code == 0); /* ROW_MAX_BYTES is more than all limits together */
    (void)code;
}

/* Quoted, with quotes doubled: RFC 4180 §2. */
static void csv_put_field(struct buffer *line, const char *bytes, size_t byte_count)
{
    csv_put(line, "\"", 1);
    for (size_t from = 0; from < byte_count;) {
        const char *quote = memchr(bytes + from, '"', byte_count - from);
        size_t to = quote != NULL ? (size_t)(quote - bytes) + 1 : byte_count;
        csv_put(line, bytes + from, to - from);
        if (quote != NULL)
            csv_put(line, "\"", 1);
        from = to;
    }
    csv_put(line, "\"", 1);
}

static void csv_put_list(struct buffer *line, const json_t *list)
{
    CLEANUP(buffer_release) struct buffer joined = BUFFER_INIT(ROW_MAX_BYTES);
    size_t index = 0;
    const json_t *item = NULL;
    const char separator = DATASET_LABEL_SEPARATOR;
    json_array_foreach(list, index, item)
    {
        if (index > 0)
            csv_put(&joined, &separator, 1);
        csv_put(&joined, json_string_value(item), json_string_length(item));
    }
    csv_put_field(line, joined.data != NULL ? joined.data : "", joined.size_bytes);
}

static char *row_csv(const struct row *row, size_t *ret_bytes)
{
    const struct issue_record *record = row->record;
    struct buffer line = BUFFER_INIT(ROW_MAX_BYTES);
    char text[TIME_TEXT_BYTES];
    csv_put_field(&line, row->repository, strlen(row->repository));
    time_to_text(record->created_ms, text);
    csv_put(&line, ",", 1);
    csv_put(&line, text, strlen(text));
    csv_put(&line, ",", 1);
    csv_put_list(&line, row->lists[ROLE_EXAMPLE]);
    csv_put(&line, ",", 1);
    csv_put_field(&line, record->title.data, record->title.bytes);
    csv_put(&line, ",", 1);
    csv_put_field(&line, record->body.data != NULL ? record->body.data : "", record->body.bytes);
    CLEANUP(mem_free)
    char *numbers = mem_format(",%d,%lld,", row->weight, (long long)record->number);
    csv_put(&line, numbers, strlen(numbers));
    csv_put_list(&line, row->lists[ROLE_REMOVED]);
    csv_put(&line, ",", 1);
    csv_put_list(&line, row->lists[ROLE_BY_BOT]);
    csv_put(&line, ",", 1);
    csv_put_list(&line, row->lists[ROLE_UNKNOWN]);
    csv_put(&line, row->is_held_back ? ",true\n" : ",false\n", row->is_held_back ? 6 : 7);
    *ret_bytes = line.size_bytes;
    return buffer_take(&line);
}

static int issue_compare(const struct dataset_issue *left, const struct dataset_issue *right)
{
    const struct issue_record *a = left->record;
    const struct issue_record *b = right->record;
    if (a->repository_id != b->repository_id)
        return a->repository_id < b->repository_id ? -1 : 1;
    return (a->number > b->number) - (a->number < b->number);
}

/* Writes one issue if it says anything. Returns false to stop. */
static bool row_write(struct dataset_rows *rows, const struct dataset_issue *issue,
                      enum dataset_format format,
                      bool (*write)(void *argument, const char *bytes, size_t byte_count),
                      void *argument)
{
    struct row row;
    bool go_on = true;
    row_fill(rows, issue, &row);
    size_t examples = json_array_size(row.lists[ROLE_EXAMPLE]);
    size_t removed = json_array_size(row.lists[ROLE_REMOVED]);
    if (examples + removed > 0) {
        size_t bytes = 0;
        CLEANUP(mem_free)
        char *line = format == DATASET_JSON ? row_json(&row, &bytes) : row_csv(&row, &bytes);
        go_on = write(argument, line, bytes);
        rows->counts.rows++;
        rows->counts.examples += examples;
        rows->counts.removed += removed;
        rows->counts.held_back += row.is_held_back;
    }
    row_release(&row);
    return go_on;
}

void dataset_rows_write(struct dataset_rows *rows, enum dataset_format format,
                        bool (*write)(void *argument, const char *bytes, size_t byte_count),
                        void *argument, struct dataset_counts *ret_counts)
{
    static const char header[] =
        "repo,created_at,label,title,body,weight,number,removed,by_bots,unknown,held_back\n";
    rows->counts = (struct dataset_counts){.rows = 0};
    rows_count_labels(rows);
    HASH_SORT(rows->issues, issue_compare);
    bool go_on = format == DATASET_JSON || write(argument, header, sizeof(header) - 1);
    for (const struct dataset_issue *issue = rows->issues; issue != NULL && go_on;
         issue = issue->hh.next)
        if (issue->record->erased_ms == 0 && !rows_is_too_old(rows, issue->record))
            go_on = row_write(rows, issue, format, write, argument);
    *ret_counts = rows->counts;
}
