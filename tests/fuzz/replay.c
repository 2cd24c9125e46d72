/*
 * The driver of fuzz targets without libFuzzer: gives every file of the folders (or files) named on the command line
 * to LLVMFuzzerTestOneInput, in the order of their names.
 *
 * Design: what libFuzzer does with -runs=0, in plain C, so that corpora are replayed by gcc, under every sanitizer and
 * in builds without clang. The name of a file is printed before it runs: the last line of a crash names its input.
 *
 * Invariants: folders are not searched deeper; finding no file at all is a failure, so that a moved corpus is noticed.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"

/* Largest input that is replayed: a corpus holds small files. */
#define REPLAY_INPUT_MAX_BYTES (4u << 20)

/* Longest path of an input. */
#define REPLAY_PATH_BYTES 4096

/* The fuzz target; its meaning is libFuzzer's: no output, 0, and a crash where a rule is broken. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count);

/* Runs the target over one file. Returns false if it cannot be read whole. */
static bool replay_file(const char *path)
{
    printf("%s\n", path);
    (void)fflush(stdout);
    FILE *file = fopen(path, "rbe");
    if (file == NULL) {
        perror(path);
        return false;
    }
    /* Exactly as large as the input, so that reading one byte too far is seen. */
    struct stat found;
    size_t size_bytes = fstat(fileno(file), &found) == 0 ? (size_t)found.st_size : 0;
    CLEANUP(mem_free) uint8_t *bytes = mem_alloc_array(size_bytes, 1);
    bool whole =
        size_bytes <= REPLAY_INPUT_MAX_BYTES && fread(bytes, 1, size_bytes, file) == size_bytes;
    if (whole)
        (void)LLVMFuzzerTestOneInput(bytes, size_bytes);
    else
        fprintf(stderr, "%s: cannot be read, or is over %u bytes\n", path, REPLAY_INPUT_MAX_BYTES);
    (void)fclose(file);
    return whole;
}

static int replay_is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* Runs the target over all files of a folder. Returns how many, or -1 if one could not be read. */
static int replay_folder(const char *folder)
{
    struct dirent **entries = NULL;
    int entry_count = scandir(folder, &entries, replay_is_visible, alphasort);
    int replayed = 0;
    if (entry_count < 0)
        perror(folder);
    for (int i = 0; i < entry_count; i++) {
        char path[REPLAY_PATH_BYTES];
        (void)snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
        if (replayed >= 0)
            replayed = replay_file(path) ? replayed + 1 : -1;
        free(entries[i]);
    }
    free(entries);
    return entry_count < 0 ? -1 : replayed;
}

int main(int argc, char **argv)
{
    int total = 0;
    for (int i = 1; i < argc; i++) {
        struct stat found;
        bool is_folder = stat(argv[i], &found) == 0 && S_ISDIR(found.st_mode);
        int replayed = is_folder ? replay_folder(argv[i]) : replay_file(argv[i]) ? 1 : -1;
        if (replayed < 0)
            return EXIT_FAILURE;
        total += replayed;
    }
    printf("%d inputs replayed\n", total);
    return total > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
