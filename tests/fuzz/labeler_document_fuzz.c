/*
 * Fuzz target: any bytes as Labeler documents. What is accepted keeps every promise of document.h:
 * lists with entries, shares within bounds, trigger labels only by their literal names. What is
 * refused is spec_document_fuzz.c's.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "reactors/labeler/document.h"
#include "tests/unit/reactors/labeler/documents.h"

/* The entry point that libFuzzer and replay.c call. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count);

/* Ends the run where a promise does not hold; unlike assert, also in release builds. */
static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_list(const struct document_list *list)
{
    require(list->count >= 1 && list->count <= SPEC_LIST_MAX);
    for (size_t i = 0; i < list->count; i++)
        require(list->items[i] != NULL);
}

static bool includes_literally(const struct document *document, const char *label)
{
    for (size_t i = 0; i < document->include.count; i++)
        if (strcasecmp(document->include.items[i], label) == 0)
            return true;
    return false;
}

static void check_document(const struct document_set *set, const struct document *document)
{
    static const char *const labels[] = {"kind/bug", "lgtm", "do-not-merge/hold", "ok-to-test", ""};
    require(document->name != NULL && document->name[0] != '\0');
    check_list(&document->repositories);
    check_list(&document->include);
    require(document->model_count >= 1);
    for (size_t i = 0; i < document->model_count; i++)
        require(document->models[i].text != NULL);
    require(document->holdback >= 0 && document->holdback <= 1);
    require(document->holdback > 0 || !document_holds_back(document, "1#1"));
    require(document->holdback < 1 || document_holds_back(document, "1#1"));
    for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++)
        if (document_includes_label(document, labels[i]) && document_is_trigger_label(labels[i]))
            require(includes_literally(document, labels[i]));
    const struct document *found = NULL;
    struct error error = {0};
    int code = document_find(set, document->repositories.items[0], &found, &error);
    require(code == 0 ? found != NULL : found == NULL && error.text[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count)
{
    struct document_set *set = documents_of((const char *)bytes, byte_count);
    if (set == NULL)
        return 0;
    for (size_t i = 0; i < document_count(set); i++)
        check_document(set, document_at(set, i));
    document_set_free(set);
    return 0;
}
