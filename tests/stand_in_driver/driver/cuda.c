/* CUDA's driver API: devices and contexts, by the names of libcuda.so.1. */
#define _GNU_SOURCE
#include "gpus.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OK = 0, NOT_INITIALIZED = 3, NO_DEVICE = 100, INVALID_DEVICE = 101, INVALID_CONTEXT = 201,
    NOT_FOUND = 500
};
enum { WARP_SIZE = 10, PROCESSORS = 16, THREADS = 1, BUS = 33, MAJOR = 75, MINOR = 76 };
#define MOST_VISIBLE (MOST_GPUS * MOST_INSTANCES)
#define DEPTH 16

typedef struct {
    int ordinal, users;
    Device *device;
} Context;

static Context contexts[MOST_VISIBLE]; /* one primary context for each visible device */
static int num_visible, ready;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static __thread Context *stack[DEPTH];
static __thread int top;

#define NEEDS_INIT \
    if (!ready) return NOT_INITIALIZED
#define NEEDS_DEVICE(ordinal) \
    NEEDS_INIT; \
    if ((ordinal) < 0 || (ordinal) >= num_visible) return INVALID_DEVICE

static void show(Device *device) {
    contexts[num_visible] = (Context){num_visible, 0, device};
    num_visible++;
}

static Device *named(const char *entry) {
    char *end;
    if (!strncmp(entry, "GPU-", 4) || !strncmp(entry, "MIG-", 4)) return device_by_uuid(entry, 1);
    long index = strtol(entry, &end, 10);
    if (end == entry || index < 0 || index >= num_gpus()) return NULL;
    return in_mig_mode() && !num_instances() ? NULL : device_at((int)index, in_mig_mode() ? 0 : -1);
}

/* CUDA's rules: the first entry that names nothing hides the rest, a repeated one hides all. */
static void read_visible(void) {
    const char *given = getenv("CUDA_VISIBLE_DEVICES");
    char *rest = NULL, *text;
    num_visible = 0;
    if (!given) {
        for (int gpu = 0; gpu < num_gpus(); gpu++)
            if (!in_mig_mode() || num_instances()) show(device_at(gpu, in_mig_mode() ? 0 : -1));
        return;
    }
    text = strdup(given);
    for (char *entry = strtok_r(text, ",", &rest); entry; entry = strtok_r(NULL, ",", &rest)) {
        Device *device = named(entry);
        if (!device) break;
        for (int i = 0; i < num_visible; i++)
            if (contexts[i].device == device) {
                num_visible = 0;
                free(text);
                return;
            }
        show(device);
    }
    free(text);
}

EXPORTED int cuInit(unsigned flags) {
    (void)flags;
    pthread_mutex_lock(&lock);
    if (!ready) {
        read_visible();
        ready = num_visible > 0;
    }
    pthread_mutex_unlock(&lock);
    return ready ? OK : NO_DEVICE;
}

EXPORTED int cuDriverGetVersion(int *version) {
    *version = CUDA_VERSION;
    return OK;
}

EXPORTED int cuDeviceGetCount(int *count) {
    NEEDS_INIT;
    *count = num_visible;
    return OK;
}

EXPORTED int cuDeviceGet(int *device, int ordinal) {
    NEEDS_DEVICE(ordinal);
    *device = ordinal;
    return OK;
}

EXPORTED int cuDeviceGetName(char *out, int size, int ordinal) {
    NEEDS_DEVICE(ordinal);
    snprintf(out, (size_t)size, "%s", name_of(contexts[ordinal].device));
    return OK;
}

EXPORTED int cuDeviceGetUuid_v2(unsigned char *out, int ordinal) {
    char text[64];
    unsigned byte;
    NEEDS_DEVICE(ordinal);
    write_uuid(contexts[ordinal].device, text, sizeof text);
    const char *at = text + 4; /* behind "GPU-" */
    for (int i = 0; i < 16; i++, at += 2) {
        while (*at == '-') at++;
        sscanf(at, "%2x", &byte);
        out[i] = (unsigned char)byte;
    }
    return OK;
}

EXPORTED int cuDeviceTotalMem_v2(size_t *bytes, int ordinal) {
    NEEDS_DEVICE(ordinal);
    *bytes = memory_of(contexts[ordinal].device);
    return OK;
}

EXPORTED int cuDeviceGetAttribute(int *value, int attribute, int ordinal) {
    NEEDS_DEVICE(ordinal);
    switch (attribute) {
        case MAJOR: *value = 9; break;
        case MINOR: *value = 0; break;
        case PROCESSORS: *value = 132; break;
        case WARP_SIZE: *value = 32; break;
        case THREADS: *value = 1024; break;
        case BUS: *value = contexts[ordinal].device->gpu + 1; break;
        default: *value = 0;
    }
    return OK;
}

/* -- contexts ---------------------------------------------------------------------------------- */

EXPORTED int cuDevicePrimaryCtxRetain(Context **context, int ordinal) {
    NEEDS_DEVICE(ordinal);
    pthread_mutex_lock(&lock);
    if (contexts[ordinal].users++ == 0) note_context(contexts[ordinal].device, 1);
    pthread_mutex_unlock(&lock);
    *context = &contexts[ordinal];
    return OK;
}

EXPORTED int cuDevicePrimaryCtxRelease_v2(int ordinal) {
    NEEDS_DEVICE(ordinal);
    pthread_mutex_lock(&lock);
    int users = contexts[ordinal].users;
    if (users > 0 && --contexts[ordinal].users == 0) note_context(contexts[ordinal].device, 0);
    pthread_mutex_unlock(&lock);
    return users > 0 ? OK : INVALID_CONTEXT;
}

EXPORTED int cuDevicePrimaryCtxGetState(int ordinal, unsigned *flags, int *active) {
    NEEDS_DEVICE(ordinal);
    *flags = 0;
    *active = contexts[ordinal].users > 0;
    return OK;
}

EXPORTED int cuCtxGetCurrent(Context **context) {
    NEEDS_INIT;
    *context = top ? stack[top - 1] : NULL;
    return OK;
}

EXPORTED int cuCtxPushCurrent_v2(Context *context) {
    NEEDS_INIT;
    if (!context || top == DEPTH) return INVALID_CONTEXT;
    stack[top++] = context;
    return OK;
}

EXPORTED int cuCtxPopCurrent_v2(Context **context) {
    NEEDS_INIT;
    if (!top) return INVALID_CONTEXT;
    *context = stack[--top];
    return OK;
}

EXPORTED int cuCtxSetCurrent(Context *context) {
    NEEDS_INIT;
    if (top) top--;
    if (context) stack[top++] = context;
    return OK;
}

EXPORTED int cuCtxGetDevice(int *ordinal) {
    NEEDS_INIT;
    if (!top) return INVALID_CONTEXT;
    *ordinal = stack[top - 1]->ordinal;
    return OK;
}

EXPORTED int cuCtxGetDevice_v2(int *ordinal, Context *context) {
    NEEDS_INIT;
    if (!context) return cuCtxGetDevice(ordinal);
    *ordinal = context->ordinal;
    return OK;
}

EXPORTED int cuCtxGetId(Context *context, unsigned long long *id) {
    NEEDS_INIT;
    if (!context && !top) return INVALID_CONTEXT;
    *id = (unsigned long long)(context ? context : stack[top - 1])->ordinal + 1;
    return OK;
}

EXPORTED int cuMemGetInfo_v2(size_t *free_bytes, size_t *total) {
    unsigned percent;
    uint64_t used;
    NEEDS_INIT;
    if (!top) return INVALID_CONTEXT;
    read_load(stack[top - 1]->device, &percent, &used);
    *total = memory_of(stack[top - 1]->device);
    *free_bytes = used > *total ? 0 : *total - used;
    return OK;
}

__attribute__((destructor)) static void end_contexts(void) {
    for (int i = 0; i < num_visible; i++)
        if (contexts[i].users > 0) note_context(contexts[i].device, 0);
}

/* -- errors, and finding the above by name ----------------------------------------------------- */

EXPORTED int cuGetErrorName(int code, const char **name) {
    switch (code) {
        case OK: *name = "CUDA_SUCCESS"; break;
        case NOT_INITIALIZED: *name = "CUDA_ERROR_NOT_INITIALIZED"; break;
        case NO_DEVICE: *name = "CUDA_ERROR_NO_DEVICE"; break;
        case INVALID_DEVICE: *name = "CUDA_ERROR_INVALID_DEVICE"; break;
        case INVALID_CONTEXT: *name = "CUDA_ERROR_INVALID_CONTEXT"; break;
        case NOT_FOUND: *name = "CUDA_ERROR_NOT_FOUND"; break;
        default: *name = "CUDA_ERROR_UNKNOWN";
    }
    return OK;
}

EXPORTED int cuGetErrorString(int code, const char **text) { return cuGetErrorName(code, text); }

EXPORTED int cuGetProcAddress_v2(
    const char *symbol, void **function, int version, uint64_t flags, int *status) {
    static const char *endings[] = {"_v2", ""};
    char name[256];
    void *self = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
    (void)flags;
    *function = NULL;
    for (int i = 0; i < 2 && !*function; i++) {
        snprintf(name, sizeof name, "%s%s", symbol, endings[i]);
        if (!strcmp(name, "cuCtxGetDevice_v2") && version < 13000) continue;
        *function = dlsym(self ? self : RTLD_DEFAULT, name);
    }
    if (self) dlclose(self);
    if (status) *status = *function ? 0 : 1;
    return *function ? OK : NOT_FOUND;
}

EXPORTED int cuGetProcAddress(const char *symbol, void **function, int version, uint64_t flags) {
    return cuGetProcAddress_v2(symbol, function, version, flags, NULL);
}
