/*
 * xoshiro256** seeded by splitmix64: see generator.h.
 */
#include "base/generator.h"

#include <stddef.h>

#include "base/cleanup.h"

/* One step of splitmix64: spreads a small seed over the generator's state. */
static uint64_t split_mix(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    uint64_t mixed = *state;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return mixed ^ (mixed >> 31);
}

static uint64_t rotate_left(uint64_t value, unsigned bits)
{
    return (value << bits) | (value >> (64 - bits));
}

void generator_seed(struct generator *generator, uint64_t seed)
{
    uint64_t state = seed;
    for (size_t i = 0; i < ARRAY_COUNT(generator->state); i++)
        generator->state[i] = split_mix(&state);
}

uint64_t generator_next(struct generator *generator)
{
    uint64_t *state = generator->state;
    uint64_t result = rotate_left(state[1] * 5, 7) * 9;
    uint64_t shifted = state[1] << 17;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = rotate_left(state[3], 45);
    return result;
}
