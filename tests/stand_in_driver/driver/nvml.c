/* NVML: which GPUs there are, by the names of libnvidia-ml.so.1 (NVML API reference). */
#include "gpus.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { OK = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7 };

static int users;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define NEEDS_INIT \
    if (users <= 0) return UNINITIALIZED
#define IS_WHOLE(device) ((device)->instance < 0)

static int put(char *out, unsigned size, const char *text) {
    if (size <= strlen(text)) return TOO_SMALL;
    strcpy(out, text);
    return OK;
}

EXPORTED int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    int failure = (int)setting("STAND_IN_FAILURE", 0);
    if (failure) return failure;
    pthread_mutex_lock(&lock);
    users++;
    pthread_mutex_unlock(&lock);
    return OK;
}

EXPORTED int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

EXPORTED int nvmlShutdown(void) {
    NEEDS_INIT;
    pthread_mutex_lock(&lock);
    users--;
    pthread_mutex_unlock(&lock);
    return OK;
}

EXPORTED const char *nvmlErrorString(int code) {
    switch (code) {
        case OK: return "Success";
        case UNINITIALIZED: return "Uninitialized";
        case INVALID: return "Invalid Argument";
        case NOT_SUPPORTED: return "Not Supported";
        case NOT_FOUND: return "Not Found";
        case TOO_SMALL: return "Insufficient Size";
        case 9: return "Driver Not Loaded";
        default: return "Unknown Error";
    }
}

/* -- the system -------------------------------------------------------------------------------- */

EXPORTED int nvmlSystemGetDriverVersion(char *out, unsigned size) {
    NEEDS_INIT;
    return put(out, size, DRIVER_VERSION);
}

EXPORTED int nvmlSystemGetNVMLVersion(char *out, unsigned size) {
    NEEDS_INIT;
    return put(out, size, "13." DRIVER_VERSION);
}

EXPORTED int nvmlSystemGetCudaDriverVersion_v2(int *version) {
    NEEDS_INIT;
    *version = CUDA_VERSION;
    return OK;
}

EXPORTED int nvmlDeviceGetCount_v2(unsigned *count) {
    NEEDS_INIT;
    *count = (unsigned)num_gpus();
    return OK;
}

EXPORTED int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **device) {
    NEEDS_INIT;
    if ((int)index >= num_gpus()) return INVALID;
    *device = device_at((int)index, -1);
    return OK;
}

EXPORTED int nvmlDeviceGetHandleByUUID(const char *uuid, Device **device) {
    NEEDS_INIT;
    *device = uuid ? device_by_uuid(uuid, 0) : NULL;
    return *device ? OK : NOT_FOUND;
}

EXPORTED int nvmlDeviceGetHandleByPciBusId_v2(const char *id, Device **device) {
    unsigned domain, bus;
    NEEDS_INIT;
    if (sscanf(id, "%x:%x", &domain, &bus) != 2 || bus < 1 || (int)bus > num_gpus()) return NOT_FOUND;
    *device = device_at((int)bus - 1, -1);
    return OK;
}

/* -- a GPU or an instance ---------------------------------------------------------------------- */

EXPORTED int nvmlDeviceGetIndex(Device *device, unsigned *index) {
    NEEDS_INIT;
    *index = (unsigned)(IS_WHOLE(device) ? device->gpu : device->instance);
    return OK;
}

EXPORTED int nvmlDeviceGetName(Device *device, char *out, unsigned size) {
    NEEDS_INIT;
    return put(out, size, name_of(device));
}

EXPORTED int nvmlDeviceGetUUID(Device *device, char *out, unsigned size) {
    char text[64];
    NEEDS_INIT;
    write_uuid(device, text, sizeof text);
    return put(out, size, text);
}

EXPORTED int nvmlDeviceGetCudaComputeCapability(Device *device, int *major, int *minor) {
    (void)device;
    NEEDS_INIT;
    *major = 9;
    *minor = 0;
    return OK;
}

EXPORTED int nvmlDeviceGetMemoryInfo(Device *device, uint64_t *total_free_used) {
    unsigned percent;
    uint64_t used, total = memory_of(device);
    NEEDS_INIT;
    read_load(device, &percent, &used);
    if (used > total) used = total;
    total_free_used[0] = total;
    total_free_used[1] = total - used;
    total_free_used[2] = used;
    return OK;
}

EXPORTED int nvmlDeviceGetUtilizationRates(Device *device, unsigned *gpu_memory) {
    uint64_t used;
    NEEDS_INIT;
    if (!IS_WHOLE(device)) return NOT_SUPPORTED;
    read_load(device, &gpu_memory[0], &used);
    gpu_memory[1] = (unsigned)(used * 100 / memory_of(device));
    return OK;
}

EXPORTED int nvmlDeviceGetCpuAffinity(Device *device, unsigned words, unsigned long *mask) {
    (void)device;
    NEEDS_INIT;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    memset(mask, 0, words * sizeof *mask);
    for (long core = 0; core < cores && core < 64 * (long)words; core++)
        mask[core / 64] |= 1ul << (core % 64);
    return OK;
}

/* -- MIG --------------------------------------------------------------------------------------- */

EXPORTED int nvmlDeviceGetMigMode(Device *device, unsigned *now, unsigned *after_reset) {
    NEEDS_INIT;
    if (!IS_WHOLE(device)) return INVALID;
    *now = *after_reset = (unsigned)in_mig_mode();
    return OK;
}

EXPORTED int nvmlDeviceGetMaxMigDeviceCount(Device *device, unsigned *count) {
    (void)device;
    NEEDS_INIT;
    *count = in_mig_mode() ? MOST_INSTANCES : 0;
    return OK;
}

EXPORTED int nvmlDeviceIsMigDeviceHandle(Device *device, unsigned *is_instance) {
    NEEDS_INIT;
    *is_instance = !IS_WHOLE(device);
    return OK;
}

EXPORTED int nvmlDeviceGetMigDeviceHandleByIndex(Device *device, unsigned index, Device **instance) {
    NEEDS_INIT;
    if ((int)index >= num_instances()) return NOT_FOUND;
    *instance = device_at(device->gpu, (int)index);
    return OK;
}

EXPORTED int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(Device *instance, Device **device) {
    NEEDS_INIT;
    *device = device_at(instance->gpu, -1);
    return OK;
}

/* -- processes --------------------------------------------------------------------------------- */

typedef struct {
    unsigned pid;
    uint64_t used;
    unsigned gpu_instance, compute_instance;
} Process;

EXPORTED int nvmlDeviceGetComputeRunningProcesses_v3(Device *device, unsigned *count, Process *out) {
    unsigned pids[256], room = *count;
    NEEDS_INIT;
    int found = context_pids(device, pids, 256);
    *count = (unsigned)found;
    if (!found) return OK;
    if (!out || room < (unsigned)found) return TOO_SMALL;
    for (int i = 0; i < found; i++) out[i] = (Process){pids[i], CONTEXT_BYTES, ~0u, ~0u};
    return OK;
}

EXPORTED int nvmlDeviceGetComputeRunningProcesses_v2(Device *device, unsigned *count, Process *out) {
    return nvmlDeviceGetComputeRunningProcesses_v3(device, count, out);
}

/* What boards without a sensor answer: whoever watches must cope with that. */
#define NOT_HERE(function) \
    EXPORTED int function(Device *device) { \
        (void)device; \
        NEEDS_INIT; \
        return NOT_SUPPORTED; \
    }
NOT_HERE(nvmlDeviceGetTemperature)
NOT_HERE(nvmlDeviceGetPowerUsage)
NOT_HERE(nvmlDeviceGetClockInfo)
