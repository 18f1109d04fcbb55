/* Stands in for NVIDIA's driver where there is no card: libcuda.so.1 of the calls that CubeCL makes.
 *
 * Memory of the device is the host's, copies are made at once, and launches do nothing but count: what programs compute on it
 * has no meaning. Kernels, as NVRTC hands them over, are kept in the folder CARD_KERNELS as NUMBER.ptx, and when the program
 * ends, its file `launches` has a line for each: number, name, launches, cubes and units of the last one, bytes of shared
 * memory. CARD_CAPABILITY is the card's compute capability, 90 where it is not set; CARD_MEMORY its bytes of memory, and
 * CARD_FREE what others leave of them; CARDS how many there are. */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

typedef int Result;
typedef unsigned long long Address;
enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_DEVICE = 101, NOT_FOUND = 500 };
/* What lies before each buffer: its size. */
enum { HEAD_BYTES = 4096 };

typedef struct Kernel {
    int number;
    char *name;
    atomic_ulong launches;
    unsigned grid[3], block[3], shared_bytes;
    struct Kernel *next;
} Kernel;

static _Atomic(Kernel *) kernels;
static atomic_int modules;
static atomic_size_t used_bytes;
static _Thread_local void *context;

static long long number(const char *name, long long unset) {
    const char *value = getenv(name);
    return value && *value ? atoll(value) : unset;
}

static size_t all_bytes(void) { return (size_t)number("CARD_MEMORY", 80LL << 30); }
static size_t left_bytes(void) { return (size_t)number("CARD_FREE", (long long)all_bytes()); }

static FILE *file(const char *name, const char *mode) {
    const char *folder = getenv("CARD_KERNELS");
    if (!folder || !*folder) return NULL;
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return fopen(path, mode);
}

__attribute__((destructor)) static void tell(void) {
    FILE *out = file("launches", "w");
    if (!out) return;
    for (Kernel *k = kernels; k; k = k->next)
        fprintf(out, "%d %s %lu %ux%ux%u %ux%ux%u %u\n", k->number, k->name, k->launches, k->grid[0], k->grid[1], k->grid[2],
                k->block[0], k->block[1], k->block[2], k->shared_bytes);
    fclose(out);
}

Result cuInit(unsigned flags) { (void)flags; return SUCCESS; }
Result cuDriverGetVersion(int *version) { *version = (int)number("CARD_DRIVER", 13000); return SUCCESS; }
Result cuDeviceGetCount(int *count) { *count = (int)number("CARDS", 1); return SUCCESS; }
Result cuDeviceGet(int *device, int index) {
    if (index < 0 || index >= number("CARDS", 1)) return INVALID_DEVICE;
    *device = index;
    return SUCCESS;
}
Result cuDeviceGetName(char *name, int bytes, int device) {
    (void)device;
    snprintf(name, (size_t)bytes, "no card, compiled for as %lld", number("CARD_CAPABILITY", 90));
    return SUCCESS;
}
Result cuDeviceTotalMem_v2(size_t *bytes, int device) { (void)device; *bytes = all_bytes(); return SUCCESS; }

/* CUdevice_attribute of cuda.h. */
Result cuDeviceGetAttribute(int *value, int attribute, int device) {
    (void)device;
    int capability = (int)number("CARD_CAPABILITY", 90);
    switch (attribute) {
    case 1: *value = 1024; break;                 /* units of a cube */
    case 2: case 3: *value = 1024; break;         /* its sides */
    case 4: *value = 64; break;
    case 5: *value = 2147483647; break;           /* cubes side by side */
    case 6: case 7: *value = 65535; break;
    case 8: *value = 48 << 10; break;             /* shared memory of a cube, and where it asks for more */
    case 97: *value = capability >= 90 ? 227 << 10 : capability >= 86 ? 99 << 10 : capability >= 80 ? 163 << 10 : 64 << 10; break;
    case 10: *value = 32; break;                  /* units of a plane */
    case 16: *value = 132; break;                 /* multiprocessors */
    case 18: *value = 0; break;                   /* no part of the processor */
    case 75: *value = capability / 10; break;
    case 76: *value = capability % 10; break;
    default: *value = 0;
    }
    return SUCCESS;
}

/* NVRTC asks for a table of functions that have no names, which begins with its size. */
Result cuGetExportTable(const void **to, const void *which) {
    static const size_t none = sizeof none;
    (void)which;
    *to = &none;
    return SUCCESS;
}

Result cuDevicePrimaryCtxRetain(void **of, int device) { *of = (char *)&used_bytes + device; return SUCCESS; }
Result cuDevicePrimaryCtxRelease_v2(int device) { (void)device; return SUCCESS; }
Result cuCtxSetCurrent(void *to) { context = to; return SUCCESS; }
Result cuCtxGetCurrent(void **of) { *of = context; return SUCCESS; }
Result cuCtxSynchronize(void) { return SUCCESS; }
Result cuMemGetInfo_v2(size_t *free_bytes, size_t *total_bytes) {
    *total_bytes = all_bytes();
    *free_bytes = left_bytes() - used_bytes;
    return SUCCESS;
}

Result cuMemAlloc_v2(Address *to, size_t bytes) {
    if (atomic_fetch_add(&used_bytes, bytes) + bytes > left_bytes()) {
        atomic_fetch_sub(&used_bytes, bytes);
        return OUT_OF_MEMORY;
    }
    char *at = mmap(NULL, bytes + HEAD_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) return OUT_OF_MEMORY;
    *(size_t *)at = bytes;
    *to = (Address)(at + HEAD_BYTES);
    return SUCCESS;
}
Result cuMemFree_v2(Address buffer) {
    char *at = (char *)buffer - HEAD_BYTES;
    size_t bytes = *(size_t *)at;
    atomic_fetch_sub(&used_bytes, bytes);
    munmap(at, bytes + HEAD_BYTES);
    return SUCCESS;
}
Result cuMemAllocAsync(Address *to, size_t bytes, void *stream) { (void)stream; return cuMemAlloc_v2(to, bytes); }
Result cuMemFreeAsync(Address buffer, void *stream) { (void)stream; return cuMemFree_v2(buffer); }
Result cuMemAllocHost_v2(void **to, size_t bytes) { return (*to = malloc(bytes)) ? SUCCESS : OUT_OF_MEMORY; }
Result cuMemFreeHost(void *buffer) { free(buffer); return SUCCESS; }
Result cuMemcpyHtoDAsync_v2(Address to, const void *from, size_t bytes, void *stream) {
    (void)stream;
    memcpy((void *)to, from, bytes);
    return SUCCESS;
}
Result cuMemcpyDtoHAsync_v2(void *to, Address from, size_t bytes, void *stream) {
    (void)stream;
    memcpy(to, (void *)from, bytes);
    return SUCCESS;
}

static char something;
Result cuStreamCreate(void **to, unsigned flags) { (void)flags; *to = &something; return SUCCESS; }
Result cuStreamDestroy_v2(void *stream) { (void)stream; return SUCCESS; }
Result cuStreamSynchronize(void *stream) { (void)stream; return SUCCESS; }
Result cuStreamWaitEvent(void *stream, void *event, unsigned flags) { (void)stream, (void)event, (void)flags; return SUCCESS; }
Result cuEventCreate(void **to, unsigned flags) { (void)flags; *to = &something; return SUCCESS; }
Result cuEventRecord(void *event, void *stream) { (void)event, (void)stream; return SUCCESS; }
Result cuEventSynchronize(void *event) { (void)event; return SUCCESS; }
Result cuEventDestroy_v2(void *event) { (void)event; return SUCCESS; }

Result cuModuleLoadData(void **module, const void *image) {
    int *self = malloc(sizeof *self);
    *self = atomic_fetch_add(&modules, 1);
    char name[32];
    snprintf(name, sizeof name, "%04d.ptx", *self);
    FILE *out = file(name, "w");
    if (out) {
        fputs(image, out);
        fclose(out);
    }
    *module = self;
    return SUCCESS;
}
Result cuModuleGetFunction(void **function, void *module, const char *name) {
    Kernel *k = calloc(1, sizeof *k);
    k->number = *(int *)module;
    k->name = strdup(name);
    k->next = kernels;
    while (!atomic_compare_exchange_weak(&kernels, &k->next, k)) {}
    *function = k;
    return SUCCESS;
}
Result cuFuncSetAttribute(void *function, int attribute, int value) { (void)function, (void)attribute, (void)value; return SUCCESS; }
Result cuLaunchKernel(Kernel *k, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
                      void *stream, void **arguments, void **extra) {
    (void)stream, (void)arguments, (void)extra;
    unsigned grid[] = {gx, gy, gz}, block[] = {bx, by, bz};
    memcpy(k->grid, grid, sizeof grid);
    memcpy(k->block, block, sizeof block);
    k->shared_bytes = shared;
    atomic_fetch_add(&k->launches, 1);
    return SUCCESS;
}
Result cuGetErrorName(Result result, const char **text) { (void)result; *text = "an error"; return SUCCESS; }
Result cuGetErrorString(Result result, const char **text) { return cuGetErrorName(result, text); }
