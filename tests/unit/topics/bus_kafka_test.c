/*
 * The contract of topics/bus.h on the Kafka bus.
 *
 * Design: each case of bus_contract_cases.h in a world of bus_kafka_world.h. Groups of the mock cluster take seconds to form, so
 * this test is slow and idle.
 */
#include "tests/unit/topics/bus_contract_cases.h"
#include "tests/unit/topics/bus_kafka_world.h"

/* Which case of the contract test_contract runs next. */
static size_t contract_index;

static void test_contract(void **state)
{
    struct kafka_world *world = *state;
    contract_cases[contract_index++].run(&world->world);
}

int main(void)
{
    struct CMUnitTest tests[ARRAY_COUNT(contract_cases)];
    for (size_t i = 0; i < ARRAY_COUNT(contract_cases); i++) {
        tests[i] = (struct CMUnitTest)IN_WORLD(test_contract);
        tests[i].name = contract_cases[i].name;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
