/* What GPUs there are, and what all processes know of their load and contexts. */
#define _GNU_SOURCE
#include "gpus.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static Device devices[MOST_GPUS][MOST_INSTANCES + 1];

__attribute__((constructor)) static void number_devices(void) {
    for (int gpu = 0; gpu < MOST_GPUS; gpu++)
        for (int instance = -1; instance < MOST_INSTANCES; instance++)
            devices[gpu][instance + 1] = (Device){gpu, instance};
}

long setting(const char *name, long otherwise) {
    const char *value = getenv(name);
    return value && *value ? atol(value) : otherwise;
}

static int within(long value, long most) { return (int)(value < 0 ? 0 : value > most ? most : value); }

int num_gpus(void) { return within(setting("STAND_IN_GPUS", 2), MOST_GPUS); }

int num_instances(void) { return within(setting("STAND_IN_INSTANCES", 0), MOST_INSTANCES); }

int in_mig_mode(void) { return setting("STAND_IN_INSTANCES", 0) != 0; }

uint64_t memory_of(const Device *device) {
    uint64_t whole = (uint64_t)setting("STAND_IN_MEMORY_MIB", 8192) << 20;
    return device->instance < 0 ? whole : whole / (uint64_t)(num_instances() ? num_instances() : 1);
}

Device *device_at(int gpu, int instance) { return &devices[gpu][instance + 1]; }

void write_uuid(const Device *device, char *text, unsigned size) {
    if (device->instance < 0)
        snprintf(text, size, "GPU-57a4d140-0000-4000-8000-%012x", device->gpu);
    else
        snprintf(text, size, "MIG-57a4d140-0000-5000-8000-%08x%04x", device->gpu, device->instance);
}

const char *name_of(const Device *device) {
    return device->instance < 0 ? "stand-in GPU (no hardware)" : "stand-in GPU (no hardware) MIG";
}

Device *device_by_uuid(const char *uuid, int may_be_short) {
    Device *found = NULL;
    char own[64];
    for (int gpu = 0; gpu < num_gpus(); gpu++)
        for (int instance = -1; instance < num_instances(); instance++) {
            Device *device = device_at(gpu, instance);
            write_uuid(device, own, sizeof own);
            if (may_be_short ? strncmp(own, uuid, strlen(uuid)) : strcmp(own, uuid)) continue;
            if (found) return NULL; /* two begin like this */
            found = device;
        }
    return found;
}

static const char *state_folder(void) {
    const char *folder = getenv("STAND_IN_STATE");
    return folder && *folder ? folder : NULL;
}

void note_context(const Device *device, int is_alive) {
    char path[4096];
    if (!state_folder()) return;
    snprintf(path, sizeof path, "%s/%d.%d.%d", state_folder(), device->gpu, device->instance, getpid());
    if (!is_alive) {
        unlink(path);
        return;
    }
    FILE *file = fopen(path, "w");
    if (file) fclose(file);
}

int context_pids(const Device *device, unsigned *pids, int most) {
    int count = 0, gpu, instance, pid, end;
    DIR *folder = state_folder() ? opendir(state_folder()) : NULL;
    if (!folder) return 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        end = 0;
        if (sscanf(entry->d_name, "%d.%d.%d%n", &gpu, &instance, &pid, &end) != 3) continue;
        if (entry->d_name[end] || gpu != device->gpu) continue;
        if (device->instance >= 0 && instance != device->instance) continue;
        if (kill(pid, 0)) continue; /* it died without a word */
        if (count < most) pids[count] = (unsigned)pid;
        count++;
    }
    closedir(folder);
    return count;
}

void read_load(const Device *device, unsigned *percent, uint64_t *used) {
    char path[4096];
    unsigned long long bytes;
    *percent = 0;
    *used = (uint64_t)context_pids(device, NULL, 0) * CONTEXT_BYTES;
    if (!state_folder()) return;
    snprintf(path, sizeof path, "%s/%d.load", state_folder(), device->gpu);
    FILE *file = fopen(path, "r");
    if (!file) return;
    if (fscanf(file, "%u %llu", percent, &bytes) == 2) *used = bytes;
    fclose(file);
}
