/*
 * Progress on standard error: see progress.h.
 */
#include "reactors/importer/progress.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/memory.h"

/* Width where the terminal does not tell, and of the bar itself, in characters. */
#define WIDTH_DEFAULT 80
/* See above. */
#define BAR_CHARACTERS 24

/* Longest line that is drawn. */
#define LINE_BYTES 512

struct progress {
    struct loop *loop; /* borrowed */
    const char *name;  /* borrowed */
    bool is_terminal;
    bool is_drawn;   /* a bar stands on the terminal */
    int64_t next_ms; /* monotonic; when it may be shown again */
};

struct progress *progress_new(struct loop *loop, const char *name)
{
    struct progress *progress = MEM_NEW(struct progress);
    progress->loop = loop;
    progress->name = name;
    progress->is_terminal = isatty(STDERR_FILENO) == 1;
    progress->next_ms = loop_now_ms(loop) + (progress->is_terminal ? 0 : PROGRESS_LINE_MS);
    return progress;
}

/* Takes the bar away. */
static void progress_clear(struct progress *progress)
{
    if (progress->is_drawn)
        (void)fputs("\r\033[K", stderr);
    progress->is_drawn = false;
}

void progress_free(struct progress *progress)
{
    if (progress == NULL)
        return;
    progress_clear(progress);
    mem_free(progress);
}

/* Cuts a line to the terminal's width, not within a character. */
static void cut_to_width(char *line)
{
    struct winsize size = {.ws_col = 0};
    size_t width = WIDTH_DEFAULT;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        width = size.ws_col;
    size_t shown = 0;
    for (char *place = line; *place != '\0'; place++) {
        bool begins = ((unsigned char)*place & 0xc0) != 0x80;
        if (begins && ++shown >= width) {
            *place = '\0';
            return;
        }
    }
}

static void write_line(double share, const char *text, char line[LINE_BYTES])
{
    char bar[BAR_CHARACTERS + 1];
    if (share < 0) {
        (void)snprintf(line, LINE_BYTES, "%s", text);
        return;
    }
    double bounded = share > 1 ? 1 : share;
    size_t full = (size_t)(bounded * BAR_CHARACTERS);
    memset(bar, '.', BAR_CHARACTERS);
    memset(bar, '#', full);
    bar[BAR_CHARACTERS] = '\0';
    (void)snprintf(line, LINE_BYTES, "[%s] %3.0f%%  %s", bar, bounded * 100, text);
}

void progress_show(struct progress *progress, double share, const char *text)
{
    char line[LINE_BYTES];
    int64_t now_ms = loop_now_ms(progress->loop);
    if (now_ms < progress->next_ms)
        return;
    progress->next_ms = now_ms + (progress->is_terminal ? PROGRESS_DRAW_MS : PROGRESS_LINE_MS);
    if (!progress->is_terminal) {
        if (share >= 0)
            (void)fprintf(stderr, "%s: %.0f%%, %s\n", progress->name, share * 100, text);
        else
            (void)fprintf(stderr, "%s: %s\n", progress->name, text);
        return;
    }
    write_line(share, text, line);
    cut_to_width(line);
    (void)fprintf(stderr, "\r\033[K%s", line);
    progress->is_drawn = true;
}

void progress_say(struct progress *progress, const char *text)
{
    progress_clear(progress);
    (void)fprintf(stderr, "%s: %s\n", progress->name, text);
}
