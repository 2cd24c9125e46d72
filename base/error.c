/*
 * Error codes and texts: see error.h. The functions walk ERR_TABLE by its X-macro, so a code that
 * is added there is known everywhere.
 */
#include "base/error.h"

#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

enum err_class err_class(int code)
{
    switch (code) {
#define ERR_CASE(name, value, class, text)                                                         \
    case value:                                                                                    \
        return ERR_CLASS_##class;
        ERR_TABLE(ERR_CASE)
#undef ERR_CASE
    default:
        return ERR_CLASS_BUG;
    }
}

bool err_is_retriable(int code)
{
    return err_class(code) == ERR_CLASS_RETRIABLE;
}

const char *err_name(int code)
{
    switch (code) {
    case 0:
        return "OK";
#define ERR_CASE(name, value, class, text)                                                         \
    case value:                                                                                    \
        return #name;
        ERR_TABLE(ERR_CASE)
#undef ERR_CASE
    default:
        return "ERR_UNKNOWN";
    }
}

const char *err_text(int code)
{
    switch (code) {
    case 0:
        return "no error";
#define ERR_CASE(name, value, class, text)                                                         \
    case value:                                                                                    \
        return text;
        ERR_TABLE(ERR_CASE)
#undef ERR_CASE
    default:
        return "unknown error code";
    }
}

int error_set(struct error *error, int code, const char *format, ...)
{
    if (error == NULL)
        return code;
    error->code = code;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(error->text, sizeof(error->text), format, arguments);
    va_end(arguments);
    utf8_clean(error->text);
    return code;
}

int error_prefix(struct error *error, int code, const char *format, ...)
{
    if (error == NULL)
        return code;
    char old_text[ERROR_TEXT_BYTES];
    memcpy(old_text, error->text, sizeof(old_text));
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(error->text, sizeof(error->text), format, arguments);
    va_end(arguments);
    size_t prefix_bytes = strlen(error->text);
    (void)snprintf(error->text + prefix_bytes, sizeof(error->text) - prefix_bytes, ": %s",
                   old_text);
    utf8_clean(error->text);
    error->code = code;
    return code;
}
