/* play N: makes the double of the kernel do N process starts and one of each other thing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include "script.h"

static struct double_command c;
static HANDLE device;
static int failed;

static void Begin(enum double_op op, const wchar_t *first, const wchar_t *second) {
    memset(&c, 0, sizeof c);
    c.op = op;
    c.pid = 1000;
    c.tid = 1004;
    for (int i = 0; first != NULL && first[i] != 0; i++)
        c.text[0][i] = first[i];
    for (int i = 0; second != NULL && second[i] != 0; i++)
        c.text[1][i] = second[i];
}

static void Play(const char *what) {
    DWORD got;

    if (!DeviceIoControl(device, DOUBLE_IOCTL, &c, sizeof c, &c, sizeof c, &got, NULL) || c.status < 0) {
        printf("%s failed: error %lu, status %lx\n", what, GetLastError(), (unsigned long)c.status);
        failed = 1;
    }
}

static void Flow(enum double_op op, uint64_t id, uint64_t remote_port, uint64_t protocol) {
    static const uint8_t ends[32] = {192, 0, 2, 1, [16] = 198, 51, 100, 9};

    Begin(op, NULL, NULL);
    c.a[0] = c.a[1] = id;
    c.a[2] = protocol;
    c.a[3] = 50000;
    c.a[4] = remote_port;
    memcpy(c.data, ends, sizeof ends);
    c.bytes = sizeof ends;
}

int main(int argc, char **argv) {
    static const char request[] = "GET /x HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: ua\r\n\r\n";
    static const uint8_t question[] = "\0\1\1\0\0\1\0\0\0\0\0\0\3www\7example\3com\0\0\1\0";

    device = CreateFileW(DOUBLE_DEVICE, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);
    if (argc != 2 || device == INVALID_HANDLE_VALUE) {
        printf("usage: play N, with the double loaded: error %lu\n", GetLastError());
        return 2;
    }
    Begin(OP_PROCESS_START, L"\\Device\\HarddiskVolume1\\Windows\\System32\\cmd.exe", L"cmd /c echo #");
    c.a[0] = 4000;
    c.a[1] = 1000;
    c.a[2] = 132000000000000000ull;
    c.step = 4;
    c.repeat = (uint32_t)atoi(argv[1]);
    Play("starting processes");
    Begin(OP_KEY_SET, L"\\REGISTRY\\MACHINE\\SOFTWARE\\A", L"v");
    c.a[0] = 4;
    c.bytes = 4;
    c.data[0] = 7;
    Play("setting a value");
    Begin(OP_FILE_OPEN, L"\\Device\\HarddiskVolume1\\a.txt", NULL);
    c.a[0] = 1;
    c.a[2] = 2;
    c.a[3] = 2;
    Play("making a file");
    Begin(OP_FILE_CLEANUP, NULL, NULL);
    c.a[0] = 1;
    Play("closing it");
    Flow(OP_CONNECT, 1, 80, 6);
    Play("connecting");
    Flow(OP_ESTABLISHED, 1, 80, 6);
    Play("the flow");
    Begin(OP_STREAM, NULL, NULL);
    c.a[0] = 1;
    memcpy(c.data, request, sizeof request - 1);
    c.bytes = sizeof request - 1;
    Play("sending");
    Flow(OP_DATAGRAM, 9, 53, 17);
    memcpy(c.data + 32, question, sizeof question);
    c.bytes = 32 + sizeof question;
    Play("asking");
    return failed;
}
