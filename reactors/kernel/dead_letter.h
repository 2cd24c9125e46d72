/*
 * Dead letters: a home record that cannot be decoded is copied to `dead.letters` with the reason,
 * and only then finished.
 *
 * Design: one struct for each refusal under way; it keeps a copy of the record, so that the publish
 * can be repeated until the broker has it.
 *
 * Invariant: a refused record is either on `dead.letters` or will be replayed.
 */
#ifndef NODAG_REACTORS_KERNEL_DEAD_LETTER_H
#define NODAG_REACTORS_KERNEL_DEAD_LETTER_H

#include "topics/bus.h"

struct kernel_partition;

/* Publishes a copy of `record` with `reason` and finishes its offset (begun by the caller) once
 * acknowledged. Loop thread. */
void dead_letter_publish(struct kernel_partition *partition, const struct bus_record *record,
                         const char *reason);

/* Forgets the refusals under way of a partition that is dropped: the next owner meets them again.
 * Loop thread. */
void dead_letter_forget(struct kernel_partition *partition);

#endif
