/*
 * Pseudorandom numbers from a seed, for the simulated loop.
 *
 * Design: xoshiro256** with a state spread from the seed by splitmix64 (Blackman and Vigna, "Scrambled linear
 * pseudorandom number generators", 2021). Not for secrets; nothing but base/loop.c uses it.
 *
 * Invariant: the same seed gives the same numbers on every machine.
 */
#ifndef NODAG_BASE_GENERATOR_H
#define NODAG_BASE_GENERATOR_H

#include <stdint.h>

/* A generator; initialise with generator_seed. */
struct generator {
    uint64_t state[4]; /* never all zero */
};

/* Starts the generator's sequence for `seed`; any seed will do. Owner's thread. */
void generator_seed(struct generator *generator, uint64_t seed);

/* Returns the next 64 bits. Owner's thread. */
uint64_t generator_next(struct generator *generator);

#endif
