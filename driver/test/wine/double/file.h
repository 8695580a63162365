/* What file.c and volume.c of the double share. */
#pragma once

#include "double.h"

#define MAX_VOLUMES 16u

struct FLT_FILTER {
    const FLT_REGISTRATION *registration;
    BOOLEAN started;
};

struct FLT_VOLUME {
    WCHAR device[128];
    WCHAR guid[128];
    char text[4][32]; /* vendor, product, serial, label */
    ULONG bus, characteristics, type;
    ULONG disk_is; /* 0: it answers; 1: only to a cancel; 2: never */
    BOOLEAN used;
    BOOLEAN late; /* it is mounted while the filter goes */
    volatile LONG references;
    DEVICE_OBJECT disk;
};

extern FLT_FILTER the_filter;
extern FLT_VOLUME volumes[MAX_VOLUMES];

FLT_VOLUME *VolumeOf(const WCHAR *path);
void Objects(FLT_RELATED_OBJECTS *objects, FLT_VOLUME *volume, PFILE_OBJECT file);
void VolumesAttach(void);
void VolumesDetach(void);
void VolumesLate(void);
BOOLEAN VolumesFree(void);
NTSTATUS Volume(struct double_command *c, ULONG n);
