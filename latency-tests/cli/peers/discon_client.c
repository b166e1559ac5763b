/* Steps a turbine controller through its Bladed-style interface and tells how long its steps took.
 *
 * Usage: discon_client LIBRARY INFILE OUTNAME FRAMES RECORDS BATCH
 * FRAMES holds records of the swap array, single-precision numbers, RECORDS for each step. Prints the processor time of
 * all steps, then the time of each BATCH of them, in nanoseconds, a number a line.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SWAP_LEN 4096
#define TEXT_LEN 1024

typedef void discon(float *swap, int *fail, const char *infile, const char *outname, char *message);

static int64_t nanos(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static float *read_all(const char *path, long *count)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0)
        return NULL;
    *count = ftell(file) / (long)sizeof(float);
    rewind(file);
    float *numbers = calloc(*count + 1, sizeof *numbers);
    if (numbers && fread(numbers, sizeof *numbers, *count, file) != (size_t)*count)
        return NULL;
    fclose(file);
    return numbers;
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        fprintf(stderr, "usage: %s LIBRARY INFILE OUTNAME FRAMES RECORDS BATCH\n", argv[0]);
        return 2;
    }
    void *library = dlopen(argv[1], RTLD_NOW);
    discon *step = library ? (discon *)dlsym(library, "DISCON") : NULL;
    if (!step) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    const long records = atol(argv[5]), batch = atol(argv[6]);
    long count = 0;
    float *frames = read_all(argv[4], &count);
    if (!frames || records < 1 || records > SWAP_LEN || batch < 1 || count < records * batch) {
        fprintf(stderr, "%s: no frames\n", argv[4]);
        return 1;
    }
    char infile[TEXT_LEN] = "", outname[TEXT_LEN] = "", message[TEXT_LEN] = "";
    strncpy(infile, argv[2], TEXT_LEN - 1);
    strncpy(outname, argv[3], TEXT_LEN - 1);
    float swap[SWAP_LEN] = {0};
    const long batches = count / records / batch;
    int64_t *times = calloc(batches, sizeof *times);
    if (!times)
        return 1;
    const int64_t spent_before = nanos(CLOCK_THREAD_CPUTIME_ID);
    for (long at = 0; at < batches; at++) {
        const int64_t began = nanos(CLOCK_MONOTONIC);
        for (long of = 0; of < batch; of++) {
            const long frame = at * batch + of;
            int fail = 0;
            memcpy(swap, frames + frame * records, records * sizeof *swap);
            swap[0] = frame == 0 ? 0 : 1;
            swap[48] = TEXT_LEN - 1;
            swap[49] = (float)strlen(infile);
            swap[50] = (float)strlen(outname);
            step(swap, &fail, infile, outname, message);
            if (fail < 0) {
                message[TEXT_LEN - 1] = 0;
                fprintf(stderr, "%s\n", message);
                return 1;
            }
        }
        times[at] = nanos(CLOCK_MONOTONIC) - began;
    }
    /* The library may have printed lines of its own: the figures follow this one. */
    printf("\nfigures\n%lld\n", (long long)(nanos(CLOCK_THREAD_CPUTIME_ID) - spent_before));
    for (long at = 0; at < batches; at++)
        printf("%lld\n", (long long)times[at]);
    return 0;
}
