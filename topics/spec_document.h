/*
 * A YAML text → its documents, each judged: what is in one file of desired state.
 *
 * Design: a text may hold several documents. One whose apiVersion is not nodag's (a Kubernetes
 * object, say) is counted and passed over; an empty one too. A document whose kind and name can be
 * read has a key, right or wrong, so that an error stands beside what was valid before under that
 * key. What cannot be read that far is a fault of the file.
 *
 * Invariants: every error is reported (up to SPEC_ERRORS_MAX for each document and file); a document
 * has a value exactly if it has no error; two documents with one key both have an error that names
 * the other's line.
 */
#ifndef NODAG_TOPICS_SPEC_DOCUMENT_H
#define NODAG_TOPICS_SPEC_DOCUMENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "topics/spec_check.h"

/* Most documents of one file that are looked at. */
#define SPEC_FILE_DOCUMENTS_MAX 256

/* Largest file that is read. */
#define SPEC_FILE_MAX_BYTES YAML_TEXT_MAX_BYTES

/* Longest "kind/name" with its NUL. */
#define SPEC_KEY_BYTES 96

/* One document of a file. */
struct spec_document {
    enum spec_kind kind;       /* what it is */
    char key[SPEC_KEY_BYTES];  /* "Labeler/label-bot" */
    const char *name;          /* its part behind the slash */
    int line;                  /* where it begins in its file, from 1 */
    json_t *value;             /* owned; NULL exactly if there are errors */
    struct spec_errors errors; /* what is wrong with it */
};

/* What one file holds. */
struct spec_file_documents {
    size_t count;                    /* documents with a key */
    struct spec_document *documents; /* owned; in file order */
    size_t foreign;                  /* documents of other apiVersions, passed over */
    struct spec_errors faults; /* what is wrong with the file, and with documents without key */
};

/* Reads a text; cannot fail: what is wrong stands in the result, which is owned. Any thread. */
struct spec_file_documents *spec_documents_read(const char *text, size_t text_bytes,
                                                enum spec_strictness strictness);

/* Frees it; NULL allowed. */
void spec_documents_free(struct spec_file_documents *file);
DEFINE_CLEANUP(struct spec_file_documents *, spec_documents_free)

/* Marks a document as wrong: adds an error at its line and drops its value. Any thread. */
void spec_document_refuse(struct spec_document *document, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
