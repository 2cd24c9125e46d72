/*
 * Tests of the table for people: widths, ends of lines, and that cells cannot act on a terminal.
 */
#include "topics/text_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_table(void **state)
{
    (void)state;
    static const char *const headings[] = {"A", "LONG", "C"};
    static const char *const rows[][3] = {
        {"j\xc3\xbcrgen", "x", "y"},
        {"\x1b[2J", NULL, NULL},
        {"a\nb", "", "\xe2\x80"},
    };
    CLEANUP(text_table_free) struct text_table *table = text_table_new(headings, 3);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        text_table_add(table, rows[i]);
    char *text = NULL;
    size_t text_bytes = 0;
    FILE *stream = open_memstream(&text, &text_bytes);
    text_table_print(table, stream);
    (void)fclose(stream);
    assert_string_equal(text, "A        LONG  C\n"
                              "j\xc3\xbcrgen   x     y\n"
                              "\\x1b[2J\n"
                              "a\\x0ab         \\xe2\\x80\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_table)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
