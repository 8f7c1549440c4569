/*
 * A guest that does one access at a time, on command
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Processor 1 answers commands on the serial port at 0x2f8, counts, and
 * takes an interrupt from its local timer all the while.  The others are
 * workers: they carry out the accesses they are told to.  So a test can have
 * processor 0 stuck in a read of a device whose server is silent, and ask
 * processor 1 whether the rest of the machine still runs.
 *
 * Processor 1 says "ready" when the machine was started or reset.  From then
 * on a command and its answer are one line each.  Numbers are hexadecimal.
 *
 *   id                     "flat PROCESSORS"
 *   hb                     "HEARTBEATS TIMERTICKS", both only ever grow
 *   r8|r16|r32 PORT [N]    read a port, N times
 *   w8|w16|w32 PORT V [N]  write a port, N times
 *   R8|R16|R32|R64 A [N]   read memory or a device at address A, N times
 *   W8|W16|W32|W64 A V [N] write it, N times
 *   poll                   "busy", or "done VALUE" of the last read
 *   cr BDF REG             read a register of the configuration space
 *   cw BDF REG V           write one
 *   irqs VECTOR            how many interrupts came with this vector
 *   code A N               put N returns at address A and call each: as many
 *                          pieces of code that QEMU must translate
 *   pin PIN VECTOR FLAGS   let an I/O APIC pin interrupt processor 1; FLAGS
 *                          are the bits of the entry (8000 level, 2000 low)
 *
 * An access goes to worker 0; "@K" in front of a command gives it to
 * processor K, where K = 1 makes this processor do it itself (and it then
 * answers only when it is done).  The answer to an access is "ok", which
 * only says that the worker has it; or "busy".  Anything else gets "what?".
 */

#include "flat.h"

#define MAX_PROCESSORS  8
#define COMMANDER       1

#define COM2            0x2f8
#define UART_DATA       (COM2 + 0)
#define UART_LCR        (COM2 + 3)
#define UART_LSR        (COM2 + 5)
#define LCR_8N1         0x03
#define LSR_DR          0x01
#define LSR_THRE        0x20

#define FW_CFG_SELECT   0x510
#define FW_CFG_DATA     0x511
#define FW_CFG_NB_CPUS  5

#define PIC1_MASK       0x21
#define PIC2_MASK       0xa1

#define PCI_ADDRESS     0xcf8
#define PCI_DATA        0xcfc

#define LAPIC           0xfee00000u
#define LAPIC_EOI       0x0b0
#define LAPIC_SVR       0x0f0
#define LAPIC_ICR_LOW   0x300
#define LAPIC_ICR_HIGH  0x310
#define LAPIC_LVT_TIMER 0x320
#define LAPIC_TIMER_ICR 0x380
#define LAPIC_TIMER_DCR 0x3e0
#define SVR_ENABLE      0x100
#define TIMER_PERIODIC  0x20000
#define TIMER_COUNT     1000000         /* one tick a millisecond in QEMU */
#define DIVIDE_BY_1     0xb
#define ICR_INIT        0x4500
#define ICR_STARTUP     0x4600
#define AP_BASE         0x8000

#define IOAPIC          0xfec00000u
#define IOAPIC_ENTRY    0x10

#define VECTOR_TIMER    0xf0
#define VECTOR_WORK     0xf1
#define VECTOR_SPURIOUS 0xff

#define GATE_INTERRUPT  0x8e00
#define CODE_SEGMENT    0x08
#define INSTRUCTION_RET 0xc3

/* What a worker is to do.  Owned by the worker while busy is set. */
typedef struct Job {
    uint32_t busy;
    char kind;                  /* 'r', 'w', 'R' or 'W' */
    uint32_t bits;
    uint32_t address;
    uint64_t value;
    uint32_t times;
} Job;

Gate idt[256];
static Job jobs[MAX_PROCESSORS];
static uint32_t interrupts[256];
static uint32_t heartbeats;
static uint32_t all_arrived;

/* What another processor, or an interrupt, may have changed by now. */
static inline uint32_t look(const uint32_t *place)
{
    return __atomic_load_n(place, __ATOMIC_ACQUIRE);
}

static inline void show(uint32_t *place, uint32_t value)
{
    __atomic_store_n(place, value, __ATOMIC_RELEASE);
}

/* The machine's instructions, and its local APIC. */

static inline uint32_t port_read(uint16_t port, uint32_t bits)
{
    uint32_t value = 0;

    if (bits == 8) {
        asm volatile("inb %1, %b0" : "+a"(value) : "Nd"(port));
    } else if (bits == 16) {
        asm volatile("inw %1, %w0" : "+a"(value) : "Nd"(port));
    } else {
        asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    }
    return value;
}

static inline void port_write(uint16_t port, uint32_t bits, uint32_t value)
{
    if (bits == 8) {
        asm volatile("outb %b0, %1" : : "a"(value), "Nd"(port));
    } else if (bits == 16) {
        asm volatile("outw %w0, %1" : : "a"(value), "Nd"(port));
    } else {
        asm volatile("outl %0, %1" : : "a"(value), "Nd"(port));
    }
}

/*
 * Each is exactly one access of exactly this width, which C does not
 * promise; one of 64 bits needs a register of 64 bits, and MMX has them.
 */
static uint64_t memory_read(uint32_t address, uint32_t bits)
{
    uint64_t wide;
    uint32_t value;

    switch (bits) {
    case 8:
        asm volatile("movzbl (%1), %0" : "=r"(value) : "r"(address)
                     : "memory");
        return value;
    case 16:
        asm volatile("movzwl (%1), %0" : "=r"(value) : "r"(address)
                     : "memory");
        return value;
    case 32:
        asm volatile("movl (%1), %0" : "=r"(value) : "r"(address)
                     : "memory");
        return value;
    default:
        asm volatile("movq (%1), %%mm0; movq %%mm0, %0; emms"
                     : "=m"(wide) : "r"(address) : "memory");
        return wide;
    }
}

static void memory_write(uint32_t address, uint32_t bits, uint64_t value)
{
    uint32_t low = value;

    switch (bits) {
    case 8:
        asm volatile("movb %b1, (%0)" : : "r"(address), "q"(low) : "memory");
        break;
    case 16:
        asm volatile("movw %w1, (%0)" : : "r"(address), "r"(low) : "memory");
        break;
    case 32:
        asm volatile("movl %1, (%0)" : : "r"(address), "r"(low) : "memory");
        break;
    default:
        asm volatile("movq %1, %%mm0; movq %%mm0, (%0); emms"
                     : : "r"(address), "m"(value) : "memory");
    }
}

static void lapic_write(uint32_t reg, uint32_t value)
{
    memory_write(LAPIC + reg, 32, value);
}

/* Interrupts: every vector is counted, and that is all. */

void interrupt(uint32_t vector)
{
    interrupts[vector]++;
    if (vector < 32) {
        /* An exception would come again for ever: a test sees silence. */
        for (;;) {
            asm volatile("cli; hlt");
        }
    }
    if (vector != VECTOR_SPURIOUS) {
        lapic_write(LAPIC_EOI, 0);
    }
}

static void idt_fill(void)
{
    uint32_t i;

    for (i = 0; i < 256; i++) {
        uint32_t entry = (uint32_t)stubs + i * 16;

        idt[i] = (Gate){ entry, CODE_SEGMENT, GATE_INTERRUPT, entry >> 16 };
    }
}

static void lapic_enable(void)
{
    lapic_write(LAPIC_SVR, SVR_ENABLE | VECTOR_SPURIOUS);
}

/* Interrupt another processor, or start it. */
static void lapic_send(uint32_t to, uint32_t what)
{
    lapic_write(LAPIC_ICR_HIGH, to << 24);
    lapic_write(LAPIC_ICR_LOW, what);
}

static void timer_start(void)
{
    lapic_write(LAPIC_TIMER_DCR, DIVIDE_BY_1);
    lapic_write(LAPIC_LVT_TIMER, TIMER_PERIODIC | VECTOR_TIMER);
    lapic_write(LAPIC_TIMER_ICR, TIMER_COUNT);
    asm volatile("sti");
}

/* The line to the test. */

static void put(char c)
{
    while (!(port_read(UART_LSR, 8) & LSR_THRE)) {
        heartbeats++;
    }
    port_write(UART_DATA, 8, c);
}

static void put_text(const char *text)
{
    while (*text) {
        put(*text++);
    }
}

static void put_hex(uint64_t value)
{
    int shift = 60;

    while (shift > 0 && !(value >> shift)) {
        shift -= 4;
    }
    for (; shift >= 0; shift -= 4) {
        put("0123456789abcdef"[(value >> shift) & 0xf]);
    }
}

/*
 * The port is looked at once a tick: an access costs QEMU a lock that all
 * processors and its main loop share.
 */
static char get(void)
{
    while (!(port_read(UART_LSR, 8) & LSR_DR)) {
        uint32_t now = look(&interrupts[VECTOR_TIMER]);

        while (look(&interrupts[VECTOR_TIMER]) == now) {
            heartbeats++;
        }
    }
    return port_read(UART_DATA, 8);
}

static void get_line(char *line, uint32_t size)
{
    uint32_t length = 0;
    char c;

    while ((c = get()) != '\n') {
        if (length + 1 < size && c != '\r') {
            line[length++] = c;
        }
    }
    line[length] = 0;
}

/* Words of a command. */

static int is_word(const char *word, const char *name)
{
    while (*name && *word == *name) {
        word++;
        name++;
    }
    return !*name && (!*word || *word == ' ');
}

static const char *next_word(const char *word)
{
    while (*word && *word != ' ') {
        word++;
    }
    while (*word == ' ') {
        word++;
    }
    return word;
}

/* The number at *word, which then moves on; absent where there is none. */
static uint64_t number(const char **word, uint64_t absent)
{
    uint64_t value = 0;
    const char *c = *word;

    if (!*c) {
        return absent;
    }
    for (; *c && *c != ' '; c++) {
        uint32_t digit = *c <= '9' ? *c - '0' : (*c | 0x20) - 'a' + 10;

        value = value << 4 | (digit & 0xf);
    }
    *word = next_word(*word);
    return value;
}

/* Accesses. */

static void job_do(Job *job)
{
    uint32_t i;

    for (i = 0; i < job->times; i++) {
        switch (job->kind) {
        case 'r':
            job->value = port_read(job->address, job->bits);
            break;
        case 'w':
            port_write(job->address, job->bits, job->value);
            break;
        case 'R':
            job->value = memory_read(job->address, job->bits);
            break;
        case 'W':
            memory_write(job->address, job->bits, job->value);
            break;
        }
    }
    show(&job->busy, 0);
}

static uint32_t width_of(const char *word)
{
    return is_word(word, "8") ? 8 : is_word(word, "16") ? 16 :
           is_word(word, "32") ? 32 : is_word(word, "64") ? 64 : 0;
}

/* Whether the word is that of an access, which is filled in but for busy. */
static int job_parse(Job *job, const char *word)
{
    char kind = word[0];
    uint32_t bits = kind ? width_of(word + 1) : 0;
    int port = kind == 'r' || kind == 'w';

    if (!bits || (!port && kind != 'R' && kind != 'W') ||
        (port && bits == 64)) {
        return 0;
    }
    job->kind = kind;
    job->bits = bits;
    word = next_word(word);
    job->address = number(&word, 0);
    job->value = kind == 'w' || kind == 'W' ? number(&word, 0) : 0;
    job->times = number(&word, 1);
    return 1;
}

static void do_access(uint32_t worker, const char *word)
{
    Job *job = &jobs[worker];

    if (look(&job->busy)) {
        put_text("busy");
    } else if (!job_parse(job, word)) {
        put_text("what?");
    } else {
        show(&job->busy, 1);
        if (worker == COMMANDER) {
            job_do(job);
        } else {
            lapic_send(worker, VECTOR_WORK);
        }
        put_text("ok");
    }
}

static void do_poll(const Job *job)
{
    if (look(&job->busy)) {
        put_text("busy");
    } else {
        put_text("done ");
        put_hex(job->value);
    }
}

/* Commands that processor 1 carries out itself. */

static void pci_select(const char **word)
{
    uint32_t bdf = number(word, 0);
    uint32_t reg = number(word, 0);

    port_write(PCI_ADDRESS, 32, 1u << 31 | bdf << 8 | (reg & 0xfc));
}

static void do_config_read(const char *word)
{
    pci_select(&word);
    put_hex(port_read(PCI_DATA, 32));
}

static void do_config_write(const char *word)
{
    pci_select(&word);
    port_write(PCI_DATA, 32, number(&word, 0));
    put_text("ok");
}

static void do_heartbeat(void)
{
    put_hex(heartbeats);
    put(' ');
    put_hex(look(&interrupts[VECTOR_TIMER]));
}

static void do_pin(const char *word)
{
    uint32_t entry = IOAPIC_ENTRY + 2 * number(&word, 0);
    uint32_t low = number(&word, 0);

    low |= number(&word, 0);
    memory_write(IOAPIC, 32, entry + 1);
    memory_write(IOAPIC + 0x10, 32, COMMANDER << 24);
    memory_write(IOAPIC, 32, entry);
    memory_write(IOAPIC + 0x10, 32, low);
    put_text("ok");
}

static void do_code(const char *word)
{
    uint32_t at = number(&word, 0);
    uint32_t end = at + number(&word, 0);
    uint32_t i;

    for (i = at; i < end; i++) {
        memory_write(i, 8, INSTRUCTION_RET);
    }
    for (i = at; i < end; i++) {
        asm volatile("call *%0" : : "r"(i) : "memory");
    }
    put_text("ok");
}

static void command(const char *word)
{
    const char *rest;
    uint32_t worker = 0;

    if (*word == '@') {
        word++;
        worker = number(&word, 0);
    }
    rest = next_word(word);
    if (worker >= arrived) {
        put_text("what?");
    } else if (is_word(word, "id")) {
        put_text("flat ");
        put_hex(arrived);
    } else if (is_word(word, "hb")) {
        do_heartbeat();
    } else if (is_word(word, "poll")) {
        do_poll(&jobs[worker]);
    } else if (is_word(word, "cr")) {
        do_config_read(rest);
    } else if (is_word(word, "cw")) {
        do_config_write(rest);
    } else if (is_word(word, "irqs")) {
        put_hex(look(&interrupts[number(&rest, 0) & 0xff]));
    } else if (is_word(word, "code")) {
        do_code(rest);
    } else if (is_word(word, "pin")) {
        do_pin(rest);
    } else {
        do_access(worker, word);
    }
    put('\n');
}

/* The two lives a processor can have. */

static void serve(void)
{
    static char line[128];

    while (!look(&all_arrived)) {
        asm volatile("pause");
    }
    port_write(UART_LCR, 8, LCR_8N1);
    timer_start();
    put_text("ready\n");
    for (;;) {
        get_line(line, sizeof(line));
        command(line);
    }
}

static void work(Job *job)
{
    for (;;) {
        asm volatile("cli");
        if (look(&job->busy)) {
            job_do(job);
        } else {
            /* An interrupt that was pending wakes the processor at once. */
            asm volatile("sti; hlt");
        }
    }
}

/* Start them one after the other: a processor's number is its APIC id. */
static void start_others(void)
{
    const char *from = ap_start;
    char *to = (char *)AP_BASE;
    uint32_t id, count;

    while (from < ap_end) {
        *to++ = *from++;
    }
    port_write(FW_CFG_SELECT, 16, FW_CFG_NB_CPUS);
    count = port_read(FW_CFG_DATA, 8);
    for (id = 1; id < count && id < MAX_PROCESSORS; id++) {
        lapic_send(id, ICR_INIT);
        lapic_send(id, ICR_STARTUP | AP_BASE >> 12);
        while (look(&arrived) == id) {
            asm volatile("pause");
        }
    }
}

void processor_main(uint32_t number)
{
    if (number == 0) {
        /* The firmware's vectors are those of exceptions. */
        port_write(PIC1_MASK, 8, 0xff);
        port_write(PIC2_MASK, 8, 0xff);
        idt_fill();
    }
    lapic_enable();
    if (number == 0) {
        start_others();
        show(&all_arrived, 1);
    }
    if (number == COMMANDER) {
        serve();
    }
    work(&jobs[number]);
}
