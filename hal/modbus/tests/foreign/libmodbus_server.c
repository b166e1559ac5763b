/*
 * A Modbus device made with libmodbus: a foreign peer for the tests.
 *
 *   libmodbus_server tcp PORT        port 0 for any; prints "port N"
 *   libmodbus_server rtu PATH UNIT   prints "port 0"
 *
 * Holding registers 0 to 299, input registers 0 to 299. Holding 0 and 1 are the float 12.5, high word first,
 * holding 2 and 3 the same, low word first. After each request input registers 100 to 109 mirror holding
 * registers 200 to 209, and holding registers 10 to 19 do too.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, modbus_strerror(errno));
    exit(1);
}

static void serve(modbus_t *context, modbus_mapping_t *registers) {
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    for (;;) {
        int length = modbus_receive(context, query);
        if (length < 0) {
            return;
        }
        if (length > 0 && modbus_reply(context, query, length, registers) < 0) {
            return;
        }
        memcpy(registers->tab_input_registers + 100, registers->tab_registers + 200, 10 * sizeof(uint16_t));
        memcpy(registers->tab_registers + 10, registers->tab_registers + 200, 10 * sizeof(uint16_t));
    }
}

int main(int count, char **arguments) {
    if (count < 3) {
        return 2;
    }
    modbus_mapping_t *registers = modbus_mapping_new(0, 0, 300, 300);
    if (registers == NULL) {
        fail("registers");
    }
    registers->tab_registers[0] = registers->tab_registers[3] = 0x4148;

    if (strcmp(arguments[1], "rtu") == 0) {
        modbus_t *context = modbus_new_rtu(arguments[2], 115200, 'N', 8, 2);
        if (context == NULL || modbus_set_slave(context, atoi(arguments[3])) < 0 || modbus_connect(context) < 0) {
            fail("rtu");
        }
        printf("port 0\n");
        fflush(stdout);
        for (;;) {
            serve(context, registers);
        }
    }

    modbus_t *context = modbus_new_tcp("127.0.0.1", atoi(arguments[2]));
    int listener = context == NULL ? -1 : modbus_tcp_listen(context, 1);
    struct sockaddr_in address;
    socklen_t length = sizeof(address);
    if (listener < 0 || getsockname(listener, (struct sockaddr *)&address, &length) < 0) {
        fail("tcp");
    }
    printf("port %d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        if (modbus_tcp_accept(context, &listener) < 0) {
            fail("accept");
        }
        serve(context, registers);
        modbus_close(context);
    }
}
