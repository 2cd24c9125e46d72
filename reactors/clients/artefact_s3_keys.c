/*
 * Keys of an S3-compatible store: see artefact_s3_keys.h.
 */
#include "reactors/clients/artefact_s3_keys.h"

#include <string.h>

#include "base/file.h"

/* Largest file with keys. */
#define CREDENTIALS_MAX_BYTES 16384

void s3_keys_release(struct s3_keys *keys)
{
    yaml_stream_free(keys->stream);
    if (keys->text.data != NULL)
        explicit_bzero(keys->text.data, keys->text.size_bytes);
    buffer_release(&keys->text);
}

int s3_keys_read(const char *path, struct s3_keys *keys, struct error *error)
{
    static const char *const names[] = {"access_key_id", "secret_access_key", "session_token",
                                        NULL};
    *keys = (struct s3_keys){.text = BUFFER_INIT(CREDENTIALS_MAX_BYTES)};
    int code = file_read(path, &keys->text, error);
    if (code == 0)
        code = yaml_parse(path, keys->text.data != NULL ? keys->text.data : "",
                          keys->text.size_bytes, &keys->stream, error);
    if (code != 0)
        return code;
    const struct yaml_node *root =
        yaml_document_count(keys->stream) == 1 ? yaml_document(keys->stream, 0) : NULL;
    code = yaml_check_names(keys->stream, root, names, error);
    if (code == 0 && (yaml_get(root, names[0]) == NULL || yaml_get(root, names[1]) == NULL))
        code = error_set(error, ERR_INPUT,
                         "%s: expected one YAML document with access_key_id and secret_access_key",
                         path);
    if (code == 0)
        code = yaml_read_text(keys->stream, yaml_get(root, names[0]), &keys->id, error);
    if (code == 0)
        code = yaml_read_text(keys->stream, yaml_get(root, names[1]), &keys->secret, error);
    if (code == 0 && yaml_get(root, names[2]) != NULL)
        code = yaml_read_text(keys->stream, yaml_get(root, names[2]), &keys->token, error);
    if (code == 0 && strpbrk(keys->id, ":\r\n") != NULL)
        code =
            error_set(error, ERR_INPUT, "%s: the access_key_id has characters that none has", path);
    if (code == 0 && keys->token != NULL && strpbrk(keys->token, "\r\n") != NULL)
        code = error_set(error, ERR_INPUT, "%s: the session_token has a line end", path);
    return code;
}
