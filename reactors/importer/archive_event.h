/*
 * One line of GH Archive → the issue as it was then.
 * Source: gharchive.org ("each event is a line of JSON"), GitHub REST API, "GitHub event types"
 * (IssuesEvent, IssueCommentEvent). Events before 2015 have another form, without the issue, and are
 * told apart.
 *
 * Design: of an archive nearly all lines are about something else, so a line that does not even have the name
 * of an event that matters is not parsed. The dumps lack `labeled` events in places: who put a label
 * there cannot be known from them, so the timeline is left unknown and every label is there by an
 * unknown hand. The archive has public repositories only, and does not tell their owners' ids.
 *
 * Invariant: pure.
 */
#ifndef NODAG_IMPORTER_ARCHIVE_EVENT_H
#define NODAG_IMPORTER_ARCHIVE_EVENT_H

#include <stddef.h>

#include "base/error.h"
#include "topics/history_event.h"

/* What a line is. */
enum archive_line {
    ARCHIVE_ISSUE,        /* an issue of a repository that is wanted */
    ARCHIVE_PULL_REQUEST, /* a comment on a pull request: no issue */
    ARCHIVE_UNWANTED,     /* about an issue of a repository that is not wanted */
    ARCHIVE_OLD,          /* of the form before 2015: it names an issue and does not have it */
    ARCHIVE_OTHER,        /* about anything else */
    ARCHIVE_LINE_COUNT,   /* how many kinds */
};

/*
 * Reads a line. `globs` (spec_glob_matches) say which repositories are wanted. For ARCHIVE_ISSUE `ret_issue` is
 * filled; release it by history_issue_release. ERR_INPUT, ERR_TOO_LARGE: it is no such line, with the
 * reason. Any thread.
 */
int archive_event_read(const char *line, size_t line_bytes, const char *const *globs,
                       size_t glob_count, enum archive_line *ret_line,
                       struct history_issue *ret_issue, struct error *error) MUST_CHECK;

#endif
