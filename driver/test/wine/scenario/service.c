/* The driver as the service manager knows it. */
#include "scenario.h"

#define NAME L"assay"
#define PATH L"C:\\windows\\system32\\drivers\\assay.sys"

static HANDLE holder; /* the process that holds the driver */

void ServiceHolder(void) { holder = OpenProcess(SYNCHRONIZE, FALSE, (DWORD)Status(STATUS_PROCESS)); }

static void Write(const char *name, DWORD type, const void *data, DWORD bytes) {
    RegSetKeyValueA(HKEY_LOCAL_MACHINE, "Software\\AssayDouble", name, type, data, bytes);
}

static SC_HANDLE Open(SC_HANDLE *manager) {
    *manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_ALL_ACCESS);
    return OpenServiceW(*manager, NAME, SERVICE_ALL_ACCESS);
}

void ServiceForget(void) {
    SC_HANDLE manager, service = Open(&manager);
    SERVICE_STATUS status;

    if (service != NULL) {
        ControlService(service, SERVICE_CONTROL_STOP, &status);
        DeleteService(service);
        CloseServiceHandle(service);
    }
    CloseServiceHandle(manager);
    ServiceEnded();
}

/* The process of a stopped driver lives on for a moment; the next one must not be taken for it. */
void ServiceEnded(void) {
    if (holder != NULL) {
        WaitForSingleObject(holder, 10000);
        CloseHandle(holder);
        holder = NULL;
    }
}

DWORD ServiceStart(const struct setting *setting) {
    const char *name = setting->fail_name != NULL ? setting->fail_name : "*";
    SC_HANDLE manager, service;
    DWORD error = 0;

    Write("FailName", REG_SZ, name, (DWORD)strlen(name) + 1);
    Write("FailAt", REG_DWORD, &setting->fail_at, sizeof(DWORD));
    Write("FailStatus", REG_DWORD, &setting->fail_status, sizeof(DWORD));
    Write("Verify", REG_DWORD, &setting->verify, sizeof(DWORD));
    Write("Old", REG_DWORD, &setting->old, sizeof(DWORD));
    RegDeleteKeyValueA(HKEY_LOCAL_MACHINE, "Software\\AssayDouble", "Left");
    service = Open(&manager);
    if (service == NULL)
        service = CreateServiceW(manager, NAME, NAME, SERVICE_ALL_ACCESS, SERVICE_KERNEL_DRIVER, SERVICE_DEMAND_START,
                                 SERVICE_ERROR_NORMAL, PATH, NULL, NULL, NULL, NULL, NULL);
    if (service == NULL)
        error = GetLastError();
    else
        /*
         * A session that has just begun holds the service database for a moment. And now
         * and then Wine does not get the process up in which a driver is to be loaded
         * (NtCreateUserProcess, STATUS_INTERNAL_ERROR): nothing of the driver has run then.
         */
        for (int i = 0; i < 500; i++) {
            error = StartServiceW(service, 0, NULL) ? 0 : GetLastError();
            if (error != ERROR_SERVICE_DATABASE_LOCKED && error != ERROR_INTERNAL_ERROR)
                break;
            Sleep(10);
        }
    if (service != NULL)
        CloseServiceHandle(service);
    CloseServiceHandle(manager);
    return error;
}

DWORD ServiceStop(void) {
    SC_HANDLE manager, service = Open(&manager);
    SERVICE_STATUS status;
    DWORD error = 0;

    if (service == NULL || !ControlService(service, SERVICE_CONTROL_STOP, &status))
        error = GetLastError();
    if (service != NULL)
        CloseServiceHandle(service);
    CloseServiceHandle(manager);
    return error;
}

#define KEY L"System\\CurrentControlSet\\Services\\assay"

DWORD ServiceStarts(void) {
    DWORD starts = 0xFFFFFFFF, bytes = sizeof starts;

    RegGetValueW(HKEY_LOCAL_MACHINE, KEY, L"Starts", RRF_RT_REG_DWORD, NULL, &starts, &bytes);
    return starts;
}

void ServiceStartsSet(DWORD starts) { RegSetKeyValueW(HKEY_LOCAL_MACHINE, KEY, L"Starts", REG_DWORD, &starts, sizeof starts); }

/* The double writes this with every free after the device is gone; the last one is that of the last memory. */
bool Left(struct left *out) {
    HKEY key = NULL;
    HANDLE changed = CreateEventW(NULL, FALSE, FALSE, NULL);
    bool found = false;

    RegOpenKeyA(HKEY_LOCAL_MACHINE, "Software\\AssayDouble", &key);
    for (int i = 0; i < 3 && !(found && out->pool == 0); i++) {
        DWORD bytes = sizeof *out;

        RegNotifyChangeKeyValue(key, FALSE, REG_NOTIFY_CHANGE_LAST_SET, changed, TRUE);
        found = RegGetValueA(key, NULL, "Left", RRF_RT_REG_BINARY, NULL, out, &bytes) == 0 && bytes == sizeof *out;
        if (!(found && out->pool == 0))
            WaitForSingleObject(changed, 1000);
    }
    RegDeleteValueA(key, "Left");
    RegCloseKey(key);
    CloseHandle(changed);
    return found;
}
