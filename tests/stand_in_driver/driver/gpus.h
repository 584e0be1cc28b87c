/* A stand-in driver: answers for GPUs that do not exist, so that the path to them can be tested.
 *
 * It tells which GPUs there are (NVML) and hands out contexts on them (CUDA's driver API), by the
 * rules of the real driver. It cannot run a kernel, copy memory or talk NCCL: those functions are
 * absent, so that a caller gets "not found" and never a false result.
 *
 * STAND_IN_GPUS          number of GPUs (default 2)
 * STAND_IN_INSTANCES     MIG instances of each GPU (default 0: not in MIG mode);
 *                        -1: in MIG mode without any
 * STAND_IN_MEMORY_MIB    memory of a GPU (default 8192)
 * STAND_IN_STATE         folder that all processes share: GPU.INSTANCE.PID is a live context,
 *                        GPU.load holds "UTILISATION_PERCENT USED_BYTES"
 * STAND_IN_FAILURE       an NVML error code that every initialisation returns
 */
#ifndef STAND_IN_GPUS_H
#define STAND_IN_GPUS_H

#include <stdint.h>

#define EXPORTED __attribute__((visibility("default")))
#define MOST_GPUS 16
#define MOST_INSTANCES 7
#define CONTEXT_BYTES (300ull << 20) /* what a real context takes, about */
#define DRIVER_VERSION "580.00.stand-in"
#define CUDA_VERSION 13000

typedef struct {
    int gpu;
    int instance; /* -1: the whole GPU */
} Device;

int num_gpus(void);
int num_instances(void);
int in_mig_mode(void);
uint64_t memory_of(const Device *device);
Device *device_at(int gpu, int instance);
Device *device_by_uuid(const char *uuid, int may_be_short);
void write_uuid(const Device *device, char *text, unsigned size);
const char *name_of(const Device *device);
void note_context(const Device *device, int is_alive);
int context_pids(const Device *device, unsigned *pids, int most);
void read_load(const Device *device, unsigned *percent, uint64_t *used);
long setting(const char *name, long otherwise);

#endif
