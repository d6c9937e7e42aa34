/* The loop that benchmarks compare FlushCache and InvalidateCache with: one cache line
 * instruction after the other over a mapped file, and a fence. It knows nothing else.
 *
 *   cachelines FILE OFFSET LENGTH INSTRUCTION ROUNDS
 *
 * Before each round every line is stored to (write back) or loaded (invalidate); only
 * the loop is timed. It prints the nanoseconds of a round on average.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#define LINE 64
#define OPS(op) op("clwb", "clwb (%0)", "sfence", 1) \
	op("clflushopt", "clflushopt (%0)", "sfence", 1) \
	op("clflush", "clflush (%0)", "sfence", 1) \
	op("clflushopt-invalidate", "clflushopt (%0)", "mfence", 0) \
	op("clflush-invalidate", "clflush (%0)", "mfence", 0)
#elif defined(__aarch64__)
#define LINE 64
#define OPS(op) op("cvac", "dc cvac, %0", "dsb sy", 1) \
	op("civac-invalidate", "dc civac, %0", "dsb sy", 0)
#else
#error "no cache line instructions are known for this architecture"
#endif

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

#define LOOP(name, instruction, fence, stores) \
	if (strcmp(how, name) == 0) { \
		for (long i = 0; i < rounds; i++) { \
			for (char *p = mem; p < end; p += LINE) \
				if (stores) \
					*(volatile char *)p = i; \
				else \
					(void)*(volatile char *)p; \
			double start = now(); \
			for (char *p = mem; p < end; p += LINE) \
				__asm__ volatile(instruction : : "r"(p) : "memory"); \
			__asm__ volatile(fence : : : "memory"); \
			spent += now() - start; \
		} \
		printf("%.1f\n", spent / rounds); \
		return 0; \
	}

int main(int argc, char **argv)
{
	if (argc != 6) {
		fprintf(stderr, "want FILE OFFSET LENGTH INSTRUCTION ROUNDS\n");
		return 2;
	}
	const char *how = argv[4];
	size_t length = strtoull(argv[3], NULL, 10);
	long rounds = atol(argv[5]);
	double spent = 0;
	int fd = open(argv[1], O_RDWR);
	if (fd < 0) {
		perror(argv[1]);
		return 1;
	}
	char *mem = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, strtoll(argv[2], NULL, 10));
	if (mem == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	char *end = mem + length;
	OPS(LOOP)
	fprintf(stderr, "%s: no such instruction\n", how);
	return 2;
}
