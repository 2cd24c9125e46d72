/*
 * Labeler documents for tests: YAML text → the set that the labeler would have of it, by the same way
 * as in life (check, then document_set_add).
 */
#ifndef NODAG_TESTS_LABELER_DOCUMENTS_H
#define NODAG_TESTS_LABELER_DOCUMENTS_H

#include "reactors/labeler/document.h"
#include "topics/spec_document.h"

/* When the documents of tests were first published: 2026-10-01. */
#define DOCUMENTS_PUBLISHED_MS INT64_C(1790812800000)

/* Returns the set of a text's valid Labelers; owned. NULL if anything in it is wrong. */
static inline __attribute__((unused)) struct document_set *documents_of(const char *text,
                                                                        size_t text_bytes)
{
    CLEANUP(spec_documents_free)
    struct spec_file_documents *file = spec_documents_read(text, text_bytes, SPEC_FROM_GIT);
    CLEANUP(document_set_free) struct document_set *set = document_set_new();
    for (size_t i = 0; i < file->count; i++) {
        if (file->documents[i].value == NULL)
            return NULL;
        if (file->documents[i].kind == SPEC_LABELER)
            document_set_add(set, file->documents[i].value, DOCUMENTS_PUBLISHED_MS);
    }
    return file->faults.count == 0 ? TAKE(set) : NULL;
}

#endif
