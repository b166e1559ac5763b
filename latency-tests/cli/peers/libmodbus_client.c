/* A master on libmodbus that reads registers of devices in turn and tells how long each answer took.
 *
 * Usage: libmodbus_client REGISTERS TRANSACTIONS PORT...
 * Prints the processor time of all transactions, then the time of each, in nanoseconds, a number a line.
 */
#include <errno.h>
#include <modbus.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define REGISTERS_MAX 125

static int64_t nanos(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: %s REGISTERS TRANSACTIONS PORT...\n", argv[0]);
        return 2;
    }
    const int registers = atoi(argv[1]), transactions = atoi(argv[2]), devices = argc - 3;
    if (registers < 1 || registers > REGISTERS_MAX || transactions < 1) {
        fprintf(stderr, "%s: a number is out of range\n", argv[0]);
        return 2;
    }
    modbus_t **masters = calloc(devices, sizeof *masters);
    int64_t *times = calloc(transactions, sizeof *times);
    if (!masters || !times)
        return 1;
    for (int at = 0; at < devices; at++) {
        masters[at] = modbus_new_tcp("127.0.0.1", atoi(argv[3 + at]));
        if (!masters[at] || modbus_set_slave(masters[at], 1) != 0 || modbus_connect(masters[at]) != 0) {
            fprintf(stderr, "port %s: %s\n", argv[3 + at], modbus_strerror(errno));
            return 1;
        }
    }
    uint16_t words[REGISTERS_MAX];
    const int64_t spent_before = nanos(CLOCK_THREAD_CPUTIME_ID);
    for (int at = 0; at < transactions; at++) {
        const int64_t began = nanos(CLOCK_MONOTONIC);
        if (modbus_read_registers(masters[at % devices], 0, registers, words) != registers) {
            fprintf(stderr, "no answer: %s\n", modbus_strerror(errno));
            return 1;
        }
        times[at] = nanos(CLOCK_MONOTONIC) - began;
    }
    printf("%lld\n", (long long)(nanos(CLOCK_THREAD_CPUTIME_ID) - spent_before));
    for (int at = 0; at < transactions; at++)
        printf("%lld\n", (long long)times[at]);
    return 0;
}
