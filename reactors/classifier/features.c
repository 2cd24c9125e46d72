/*
 * Extraction of features: see features.h.
 *
 * What did not help: dropping template lines without a trace (macro F1 .765 → .724 on nlbse24:
 * which template was used says much); the body's first or last 40 words as a block of their own
 * (±0); pairs of words with a gap (±0); body or title words twice (±0). Lines of comments help
 * (+.003 over five seeds), a block of their own not more than among the form lines. Nor do pairs of
 * template lines, headings with their answers (±0), or classes of English words (interrogatives,
 * requests, failures, negations) and their sequences (±0).
 */
#include "reactors/classifier/features.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "reactors/classifier/text.h"

/* Tokens of a title: longer ones are pasted bodies. */
#define TITLE_TOKENS_MAX 600

/* Tokens of a body's prose: two pages. */
#define BODY_TOKENS_MAX 1000

/* Tokens of code and logs together: the first lines name the program and the error. */
#define CODE_TOKENS_MAX 400

/* Words of one field whose pieces are counted: pieces are many, and the first words say most. */
#define PIECE_WORDS_MAX 600

/* Bytes of the key by which a template line is known. */
#define LINE_KEY_BYTES_MAX 160

/* Shortest key of a template line. */
#define LINE_KEY_BYTES_MIN 3

/* Bytes of the longest feature text: FEATURES_WORD_NGRAM_MAX tokens and spaces, or a line key. */
#define FEATURE_TEXT_BYTES_MAX 192

/* Slots of a new bag; it grows. */
#define BAG_SLOTS_MIN 1024

/* Seeds of hashes that are not a block's; a block's seed is its number. */
enum hash_seed {
    SEED_LINE = 1000,       /* a template line */
    SEED_REPOSITORY = 1001, /* a repository or an owner */
    SEED_CROSS = 1002,      /* a feature within a repository */
};

static const struct {
    const char *key;
    const char *field;
    double weight;
} BLOCKS[FEATURE_BLOCK_COUNT] = {
#define FEATURE_BLOCK_ROW(name, key, field, weight, text) [FEATURE_##name] = {key, field, weight},
    FEATURE_BLOCKS(FEATURE_BLOCK_ROW)
#undef FEATURE_BLOCK_ROW
};

void features_config_init(struct features_config *config)
{
    *config = (struct features_config){
        .word_ngram_max = 2, .piece_length_min = 3, .piece_length_max = 5, .cross_weight = 0.7};
    for (size_t b = 0; b < FEATURE_BLOCK_COUNT; b++)
        config->block_weight[b] = BLOCKS[b].weight;
}

const char *features_block_key(enum feature_block block)
{
    assert(block < FEATURE_BLOCK_COUNT);
    return BLOCKS[block].key;
}

const char *features_block_field(enum feature_block block)
{
    assert(block < FEATURE_BLOCK_COUNT);
    return BLOCKS[block].field;
}

/*
 * --- hashes of repositories
 * ---------------------------------------------------------------------------------
 */

static uint64_t name_hash(const char *name, size_t name_bytes)
{
    char lower[256] = {0};
    size_t length = name_bytes < sizeof(lower) ? name_bytes : sizeof(lower);
    for (size_t i = 0; i < length; i++)
        lower[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + ('a' - 'A') : name[i]);
    return text_hash(SEED_REPOSITORY, lower, length);
}

uint64_t features_repository_hash(const char *repository)
{
    return repository == NULL || repository[0] == '\0' ? 0
                                                       : name_hash(repository, strlen(repository));
}

uint64_t features_owner_hash(const char *repository)
{
    const char *slash = repository == NULL ? NULL : strchr(repository, '/');
    return slash == NULL ? 0 : name_hash(repository, (size_t)(slash - repository) + 1);
}

uint64_t features_cross(uint64_t repository_hash, uint64_t feature_hash)
{
    const uint64_t pair[] = {repository_hash, feature_hash};
    return text_hash(SEED_CROSS, pair, sizeof(pair));
}

/*
 * --- the bag
 * ------------------------------------------------------------------------------------------------
 */

struct feature_bag *features_bag_new(bool keeps_texts)
{
    struct feature_bag *bag = MEM_NEW(struct feature_bag);
    bag->keeps_texts = keeps_texts;
    bag->slot_count = BAG_SLOTS_MIN;
    bag->slots = mem_alloc_array(bag->slot_count, sizeof(*bag->slots));
    return bag;
}

void features_bag_free(struct feature_bag *bag)
{
    if (bag == NULL)
        return;
    free(bag->entries);
    free(bag->slots);
    free(bag->texts);
    free(bag);
}

static void bag_clear(struct feature_bag *bag)
{
    bag->count = 0;
    bag->text_bytes = 0;
    memset(bag->slots, 0, bag->slot_count * sizeof(*bag->slots));
}

static void bag_grow(struct feature_bag *bag)
{
    bag->slot_count *= 2;
    free(bag->slots);
    bag->slots = mem_alloc_array(bag->slot_count, sizeof(*bag->slots));
    for (size_t e = 0; e < bag->count; e++) {
        size_t slot = bag->entries[e].hash & (bag->slot_count - 1);
        while (bag->slots[slot] != 0)
            slot = (slot + 1) & (bag->slot_count - 1);
        bag->slots[slot] = (uint32_t)e + 1;
    }
}

static uint32_t bag_keep_text(struct feature_bag *bag, const char *text, size_t text_bytes)
{
    if (bag->text_bytes + text_bytes > bag->text_capacity) {
        bag->text_capacity = 2 * bag->text_capacity + 64 * FEATURE_TEXT_BYTES_MAX;
        bag->texts = mem_resize_array(bag->texts, bag->text_capacity, 1);
    }
    memcpy(bag->texts + bag->text_bytes, text, text_bytes);
    uint32_t offset = (uint32_t)bag->text_bytes;
    bag->text_bytes += text_bytes;
    return offset;
}

static void bag_add(struct feature_bag *bag, enum feature_block block, const char *text,
                    size_t text_bytes)
{
    uint64_t hash = text_hash(block, text, text_bytes);
    size_t slot = hash & (bag->slot_count - 1);
    while (bag->slots[slot] != 0) {
        struct feature_entry *entry = &bag->entries[bag->slots[slot] - 1];
        if (entry->hash == hash) {
            entry->count++;
            return;
        }
        slot = (slot + 1) & (bag->slot_count - 1);
    }
    if (bag->count == bag->capacity) {
        bag->capacity = 2 * bag->capacity + 256;
        bag->entries = mem_resize_array(bag->entries, bag->capacity, sizeof(*bag->entries));
    }
    struct feature_entry *entry = &bag->entries[bag->count++];
    *entry = (struct feature_entry){.hash = hash, .count = 1, .block = (uint8_t)block};
    bag->slots[slot] = (uint32_t)bag->count;
    if (bag->keeps_texts) {
        entry->text_offset = bag_keep_text(bag, text, text_bytes);
        entry->text_bytes = (uint16_t)text_bytes;
    }
    if (2 * bag->count > bag->slot_count)
        bag_grow(bag);
}

/*
 * --- n-grams
 * ------------------------------------------------------------------------------------------------
 */

/* Adds the word n-grams of a field; "^" stands before its first word. */
static void add_words(const struct features_config *config, const struct text_tokens *tokens,
                      enum feature_block block, struct feature_bag *bag)
{
    struct text_token parts[FEATURES_WORD_NGRAM_MAX] = {{0}}; /* the last ones, newest at [0] */
    size_t seen = 0;
    for (size_t t = 0; t < tokens->count; t++) {
        const struct text_token *token = &tokens->items[t];
        if (token->kind == TEXT_TOKEN_WHOLE) {
            bag_add(bag, block, tokens->bytes + token->offset, token->length);
            continue;
        }
        memmove(parts + 1, parts, sizeof(parts) - sizeof(parts[0]));
        parts[0] = *token;
        seen++;
        char text[FEATURE_TEXT_BYTES_MAX];
        size_t used = sizeof(text); /* the n-gram is built from its end */
        for (size_t n = 0; n < config->word_ngram_max; n++) {
            if (n >= seen) {
                if (n == seen && n > 0) { /* one gram reaches before the first word */
                    text[--used] = ' ';
                    text[--used] = '^';
                    bag_add(bag, block, text + used, sizeof(text) - used);
                }
                break;
            }
            if (n > 0)
                text[--used] = ' ';
            used -= parts[n].length;
            memcpy(text + used, tokens->bytes + parts[n].offset, parts[n].length);
            bag_add(bag, block, text + used, sizeof(text) - used);
        }
    }
}

/* Adds the character n-grams of one word, with a space at its ends. */
static void add_word_pieces(const struct features_config *config, const char *word,
                            size_t word_bytes, enum feature_block block, struct feature_bag *bag)
{
    char padded[TEXT_TOKEN_BYTES_MAX + 2];
    uint8_t starts[TEXT_TOKEN_BYTES_MAX + 3]; /* where each character begins, and the end */
    size_t bytes = 0;
    padded[bytes++] = ' ';
    memcpy(padded + bytes, word, word_bytes);
    bytes += word_bytes;
    padded[bytes++] = ' ';
    size_t characters = 0;
    for (size_t i = 0; i < bytes; i++)
        if (((unsigned char)padded[i] & 0xc0) != 0x80)
            starts[characters++] = (uint8_t)i;
    starts[characters] = (uint8_t)bytes;
    for (size_t n = config->piece_length_min; n <= config->piece_length_max; n++)
        for (size_t c = 0; c + n <= characters; c++)
            bag_add(bag, block, padded + starts[c], (size_t)(starts[c + n] - starts[c]));
}

static void add_pieces(const struct features_config *config, const struct text_tokens *tokens,
                       enum feature_block block, struct feature_bag *bag)
{
    size_t words = 0;
    for (size_t t = 0; t < tokens->count && words < PIECE_WORDS_MAX; t++) {
        const struct text_token *token = &tokens->items[t];
        if (token->is_placeholder || token->kind == TEXT_TOKEN_WHOLE)
            continue;
        words++;
        add_word_pieces(config, tokens->bytes + token->offset, token->length, block, bag);
    }
}

/*
 * --- fields
 * -------------------------------------------------------------------------------------------------
 */

/* Hash of a line within a repository; `repository_hash` 0 is any. */
static uint64_t line_hash(uint64_t repository_hash, const char *key, size_t key_bytes)
{
    return text_hash(SEED_LINE ^ repository_hash, key, key_bytes);
}

bool features_sorted_has(const uint64_t *hashes, size_t count, uint64_t hash)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (hashes[middle] == hash)
            return true;
        if (hashes[middle] < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

void features_visit_lines(const struct classifier_issue *issue,
                          void (*visit)(void *context, uint64_t repository_line, uint64_t any_line),
                          void *context)
{
    uint64_t repository_hash = features_repository_hash(issue->repository);
    struct text_scanner scanner = text_scan(issue->body, issue->body_bytes);
    struct text_segment segment;
    while (text_scan_next(&scanner, &segment)) {
        char key[LINE_KEY_BYTES_MAX];
        if (segment.kind != TEXT_KIND_PROSE)
            continue;
        size_t key_bytes = text_line_key(segment.bytes, segment.byte_count, key, sizeof(key));
        if (key_bytes >= LINE_KEY_BYTES_MIN)
            visit(context, line_hash(repository_hash, key, key_bytes),
                  line_hash(0, key, key_bytes));
    }
}

/* The tokens of an issue by field. */
struct fields {
    struct text_tokens title; /* owned */
    struct text_tokens body;  /* owned: the person's prose */
    struct text_tokens code;  /* owned: fences, logs, stack traces */
};

/* Sorts one segment of the body into the fields; template lines go straight into the bag. */
static void read_segment(const struct features_config *config,
                         const struct template_lines *templates, uint64_t repository_hash,
                         const struct text_segment *segment, struct fields *fields,
                         struct feature_bag *bag)
{
    char key[LINE_KEY_BYTES_MAX];
    switch (segment->kind) {
    case TEXT_KIND_CODE:
    case TEXT_KIND_LOG:
        text_tokenise(&fields->code, segment->bytes, segment->byte_count);
        return;
    case TEXT_KIND_FENCE:
        text_tokens_add(&fields->body, "<code>", strlen("<code>"), TEXT_TOKEN_PART, true);
        return;
    case TEXT_KIND_COMMENT:
    case TEXT_KIND_PROSE:
        break;
    }
    size_t key_bytes = text_line_key(segment->bytes, segment->byte_count, key, sizeof(key));
    bool is_template = key_bytes >= LINE_KEY_BYTES_MIN &&
                       (segment->kind == TEXT_KIND_COMMENT ||
                        features_sorted_has(templates->hashes, templates->count,
                                            line_hash(repository_hash, key, key_bytes)));
    if (is_template && config->block_weight[FEATURE_FORM_LINES] > 0)
        bag_add(bag, FEATURE_FORM_LINES, key, key_bytes);
    if (!is_template && segment->kind == TEXT_KIND_PROSE)
        text_tokenise(&fields->body, segment->bytes, segment->byte_count);
}

/* How often a token is among a field's tokens. */
static size_t count_tokens(const struct text_tokens *tokens, const char *text)
{
    size_t count = 0;
    for (size_t t = 0; t < tokens->count; t++)
        count += tokens->items[t].length == strlen(text) &&
                 memcmp(tokens->bytes + tokens->items[t].offset, text, strlen(text)) == 0;
    return count;
}

/* Adds one count, by its power of two: "32+ words of body". */
static void add_count(struct feature_bag *bag, size_t count, const char *what)
{
    char text[FEATURE_TEXT_BYTES_MAX];
    size_t power = 1;
    while (2 * power <= count)
        power *= 2;
    int bytes = count == 0 ? snprintf(text, sizeof(text), "no %s", what)
                           : snprintf(text, sizeof(text), "%zu+ %s", power, what);
    bag_add(bag, FEATURE_SHAPE, text, (size_t)bytes);
}

static void add_shape(const struct fields *fields, struct feature_bag *bag)
{
    add_count(bag, fields->title.count, "words of title");
    add_count(bag, fields->body.count, "words of body");
    add_count(bag, fields->code.count, "words of code or log");
    add_count(bag, count_tokens(&fields->body, "?"), "questions");
    add_count(bag, count_tokens(&fields->body, "<code>"), "code blocks");
    add_count(bag, count_tokens(&fields->body, "<url>"), "links");
    add_count(bag, count_tokens(&fields->body, "<img>"), "images");
}

static void add_fields(const struct features_config *config, const struct fields *fields,
                       struct feature_bag *bag)
{
    const double *weight = config->block_weight;
    if (weight[FEATURE_TITLE_WORDS] > 0)
        add_words(config, &fields->title, FEATURE_TITLE_WORDS, bag);
    if (weight[FEATURE_BODY_WORDS] > 0)
        add_words(config, &fields->body, FEATURE_BODY_WORDS, bag);
    if (weight[FEATURE_ALL_WORDS] > 0) {
        add_words(config, &fields->title, FEATURE_ALL_WORDS, bag);
        add_words(config, &fields->body, FEATURE_ALL_WORDS, bag);
    }
    if (weight[FEATURE_CODE_WORDS] > 0)
        add_words(config, &fields->code, FEATURE_CODE_WORDS, bag);
    if (weight[FEATURE_TITLE_PIECES] > 0)
        add_pieces(config, &fields->title, FEATURE_TITLE_PIECES, bag);
    if (weight[FEATURE_BODY_PIECES] > 0)
        add_pieces(config, &fields->body, FEATURE_BODY_PIECES, bag);
    if (weight[FEATURE_ALL_PIECES] > 0) {
        add_pieces(config, &fields->title, FEATURE_ALL_PIECES, bag);
        add_pieces(config, &fields->body, FEATURE_ALL_PIECES, bag);
    }
    if (weight[FEATURE_SHAPE] > 0)
        add_shape(fields, bag);
}

void features_extract(const struct features_config *config, const struct template_lines *templates,
                      const struct classifier_issue *issue, struct feature_bag *bag)
{
    struct fields fields = {.title = {.count_max = TITLE_TOKENS_MAX},
                            .body = {.count_max = BODY_TOKENS_MAX},
                            .code = {.count_max = CODE_TOKENS_MAX}};
    bag_clear(bag);
    size_t title_bytes =
        issue->title_bytes < TEXT_TITLE_BYTES_MAX ? issue->title_bytes : TEXT_TITLE_BYTES_MAX;
    if (issue->title != NULL)
        text_tokenise(&fields.title, issue->title, title_bytes);
    uint64_t repository_hash = features_repository_hash(issue->repository);
    if (!features_sorted_has(templates->repositories, templates->repository_count, repository_hash))
        repository_hash = 0;
    struct text_scanner scanner = text_scan(issue->body, issue->body_bytes);
    struct text_segment segment;
    while (text_scan_next(&scanner, &segment))
        read_segment(config, templates, repository_hash, &segment, &fields, bag);
    add_fields(config, &fields, bag);
    text_tokens_release(&fields.title);
    text_tokens_release(&fields.body);
    text_tokens_release(&fields.code);
}
