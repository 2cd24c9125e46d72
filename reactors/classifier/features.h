/*
 * Tokens to features: what of an issue the model sees.
 *
 * Design: features stand in blocks, one for each field and kind, so that title and body, words,
 * pieces of words and template lines are weighed apart. A feature is the 64-bit hash of its text
 * under its block's seed; nothing keeps the text, except when somebody asks why (explain). A bag is
 * what one issue has: each feature once, with its count.
 *
 *     title ─────────────────────┬──▶ title words ─┐
 *     body ──┬─ template, comment ──▶ form lines ──┤
 *            ├─ fence, log ──────│──▶ code words ──┼─▶ bag ─▶ space.h: vocabulary, crossing
 *            └─ prose ───────────┼──▶ body words ──┤
 *                                └──▶ pieces, shape┘
 *
 * Which lines are a template's is learnt: lines frequent within one repository. Their words are not
 * counted as the person's words; that they are there says which template was used, and is a feature
 * of its own. So is each line of an HTML comment: templates hide their instructions there.
 *
 * Invariants: the bag of an issue depends only on the issue, the configuration and the template
 * lines; its size is bounded by the limits in features.c; training and serving share every line of
 * this.
 */
#ifndef NODAG_CLASSIFIER_FEATURES_H
#define NODAG_CLASSIFIER_FEATURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "reactors/classifier/classifier.h"

/* Every block: name in model files, field shown to people, default weight and what it holds. */
#define FEATURE_BLOCKS(X)                                                                          \
    X(TITLE_WORDS, "title_words", "title", 1.0, "word n-grams of the title")                       \
    X(BODY_WORDS, "body_words", "body", 1.0, "word n-grams of the body's prose")                   \
    X(ALL_WORDS, "all_words", "text", 0.0, "word n-grams of title and body alike")                 \
    X(CODE_WORDS, "code_words", "code", 1.0, "words of code, logs and stack traces")               \
    X(FORM_LINES, "form_lines", "form", 1.0, "which template lines and comments are there")        \
    X(TITLE_PIECES, "title_pieces", "title", 0.0, "character n-grams of the title's words")        \
    X(BODY_PIECES, "body_pieces", "body", 0.0, "character n-grams of the body's words")            \
    X(ALL_PIECES, "all_pieces", "text", 1.0, "character n-grams of all words")                     \
    X(SHAPE, "shape", "shape", 0.4,                                                                \
      "how long it is, how many questions, code blocks, links, images")

/* The blocks of FEATURE_BLOCKS. */
enum feature_block {
#define FEATURE_BLOCK_ENUM(name, key, field, weight, text) FEATURE_##name, /* see FEATURE_BLOCKS */
    FEATURE_BLOCKS(FEATURE_BLOCK_ENUM)
#undef FEATURE_BLOCK_ENUM
        FEATURE_BLOCK_COUNT, /* how many there are */
};

/* What is extracted and how it is weighed; stands in the model file. */
struct features_config {
    double block_weight[FEATURE_BLOCK_COUNT]; /* length of a block's vector; 0: left out */
    uint32_t word_ngram_max;   /* longest word n-gram, 1 … FEATURES_WORD_NGRAM_MAX */
    uint32_t piece_length_min; /* shortest character n-gram, 1 … 8 */
    uint32_t piece_length_max; /* longest character n-gram, piece_length_min … 8 */
    double cross_weight;       /* of a feature's copy for its repository; 0 leaves them out */
};

/* Longest word n-gram that a configuration may ask for. */
#define FEATURES_WORD_NGRAM_MAX 3u

/* Longest character n-gram that a configuration may ask for. */
#define FEATURES_PIECE_LENGTH_MAX 8u

/*
 * The template lines of all repositories: sorted hashes of (repository, line). A repository that is
 * not known is read with the lines of all known ones. Borrowed arrays.
 */
struct template_lines {
    const uint64_t
        *hashes;  /* ascending; (repository, line), and (no repository, line) for unknown ones */
    size_t count; /* how many */
    const uint64_t *repositories; /* ascending hashes of the repositories that the model knows */
    size_t repository_count;      /* how many */
};

/* One feature of an issue. */
struct feature_entry {
    uint64_t hash;        /* of its text, under its block's seed */
    uint32_t count;       /* how often the issue has it, at least 1 */
    uint32_t text_offset; /* of its text in the bag's texts, if they are kept */
    uint16_t text_bytes;  /* length of its text, if texts are kept */
    uint8_t block;        /* enum feature_block */
};

/* What one issue has, in order of first sight. */
struct feature_bag {
    struct feature_entry *entries; /* owned */
    size_t count;                  /* used */
    size_t capacity;               /* allocated */
    uint32_t *slots;               /* owned hash table: entry number + 1, 0 is empty */
    size_t slot_count;             /* a power of two */
    char *texts;                   /* owned arena of the features' texts, if kept */
    size_t text_bytes;             /* used */
    size_t text_capacity;          /* allocated */
    bool keeps_texts;              /* for explanations */
};

/* Fills in the defaults, chosen by measurement. Any thread. */
void features_config_init(struct features_config *config);

/* Returns an empty bag, owned, freed by features_bag_free(). Any thread. */
struct feature_bag *features_bag_new(bool keeps_texts);

/* Frees a bag; NULL is fine. Any thread. */
void features_bag_free(struct feature_bag *bag);

DEFINE_CLEANUP(struct feature_bag *, features_bag_free)

/* Empties the bag and fills it with the features of an issue. Cannot fail. Any thread. */
void features_extract(const struct features_config *config, const struct template_lines *templates,
                      const struct classifier_issue *issue, struct feature_bag *bag);

/*
 * Calls `visit` with the hash of each prose line of a body that could be a template's, both for the
 * repository and for none (for repositories that the model has not seen). The same line may come
 * several times. Any thread.
 */
void features_visit_lines(const struct classifier_issue *issue,
                          void (*visit)(void *context, uint64_t repository_line, uint64_t any_line),
                          void *context);

/* Returns whether ascending `hashes` hold one, by binary search. Any thread. */
bool features_sorted_has(const uint64_t *hashes, size_t count, uint64_t hash);

/* Returns the key, in model files, of a block. Any thread. */
const char *features_block_key(enum feature_block block);

/* Returns the field that people are shown for a block. Any thread. */
const char *features_block_field(enum feature_block block);

/* Returns the hash of a feature's copy for one repository. Any thread. */
uint64_t features_cross(uint64_t repository_hash, uint64_t feature_hash);

/*
 * Returns the hash of a repository name without regard to case, as GitHub names are; NULL gives 0.
 * Any thread.
 */
uint64_t features_repository_hash(const char *repository);

/*
 * Returns the hash of a repository's owner, as features_repository_hash(); NULL or no '/' gives 0.
 * Any thread.
 */
uint64_t features_owner_hash(const char *repository);

#endif
