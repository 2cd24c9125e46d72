/*
 * The draw behind the audit's holdback: see holdback.h.
 */
#include "topics/holdback.h"

#include <stdint.h>
#include <string.h>

#include "base/digest.h"

/* One more than the largest draw. */
#define HOLDBACK_DRAWS 4294967296.0

bool holdback_includes(const char *key, double share)
{
    uint8_t digest[DIGEST_BYTES];
    digest_sha256(key, strlen(key), digest);
    uint32_t draw = (uint32_t)digest[0] << 24 | (uint32_t)digest[1] << 16 |
                    (uint32_t)digest[2] << 8 | digest[3];
    return (double)draw / HOLDBACK_DRAWS < share;
}
