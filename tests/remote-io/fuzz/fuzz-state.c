/*
 * Any bytes as the state of a module: an answer, and never a module that breaks
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The second byte of an input chooses the module.  When the first is odd the
 * others are its state as u32 length of the head, head, body; else they change
 * the state of one that is busy: three bytes each, where (u16) and to what.
 * What the module takes it must live with: it is used, saved, and its state
 * taken back.
 */

#include "../../unit/remote-io-module-state.h"
#include "../../unit/remote-io-nvme-driver.h"
#include "fuzz.h"

const RioModule *rio_module_counter_init(void);
const RioModule *rio_module_demo_init(void);
const RioModule *rio_module_doorbell_init(void);
const RioModule *rio_module_nvme_init(void);
const RioModule *rio_module_uart16550_init(void);

static const struct {
    const RioModule *(*init)(void);
    const char *params;
    unsigned clients;
    unsigned size;              /* of accesses */
} modules[] = {
    { rio_module_nvme_init, "drive=d0,queues=2", 1, 4 },
    { rio_module_uart16550_init, "chardev=c0", 1, 1 },
    { rio_module_demo_init, "", 1, 4 },
    { rio_module_counter_init, "", 2, 8 },
    { rio_module_doorbell_init, "", 2, 4 },
};

static FakeHost *start(unsigned which)
{
    FakeHost *h = fake_open(modules[which].init(), modules[which].params);

    h->quiet = true;
    for (unsigned c = 0; c < modules[which].clients; c++) {
        fake_attach(h, c);
    }
    return h;
}

/* The state of an nvme with commands at the disk, at memory, and parked */
static GByteArray *busy_nvme(void)
{
    Nv *nv = nv_start("queues=2");
    const NvSqe aer = { .opcode = 0x0c };
    NvSqe sqe = nv_rw_sqe(1, 9, 8, 0x8000, 0);
    GByteArray *saved;

    nv->h->quiet = true;
    nv->h->mem->hold = true;
    nv_put(nv, 0, &aer);
    nv_ring(nv, 0);
    for (unsigned i = 0; i < 3; i++) {
        nv_put(nv, 1, &sqe);
    }
    nv_ring(nv, 1);
    while (fake_release(nv->h, FAKE_CALL_DMA_READ)) {
        /* up to the disk */
    }
    fake_release(nv->h, FAKE_CALL_BLOCK_WRITE);
    saved = fake_save(nv->h);
    fake_release_all(nv->h);
    nv_free(nv);
    return saved;
}

static GByteArray *busy(unsigned which)
{
    FakeHost *h;
    GByteArray *saved;

    if (which == 0) {
        return busy_nvme();
    }
    h = start(which);
    if (h->chr) {
        fake_write(h, 2, 1, 1);         /* FIFOs on */
        fake_write(h, 1, 1, 15);
        fake_type(h, "hello", 5);
        fake_write(h, 0, 1, 'x');
        fake_read(h, 0, 1);
    } else if (which == 2) {
        fake_write(h, 0x10, 4, 12);
        fake_write(h, 0x30, 4, 1000);
    }
    saved = fake_save(h);
    fake_close(h);
    return saved;
}

/* The state of a busy module, which is always the same, with changes */
static void change(GByteArray *to, unsigned which, const uint8_t *p,
                   size_t size)
{
    static GByteArray *states[G_N_ELEMENTS(modules)];

    if (!states[which]) {
        states[which] = busy(which);
    }
    g_byte_array_append(to, states[which]->data, states[which]->len);
    for (; size >= 3; p += 3, size -= 3) {
        to->data[(p[0] | p[1] << 8) % to->len] = p[2];
    }
}

/* A little of what a guest does, the same each time */
static void use(FakeHost *h, unsigned which)
{
    unsigned size = modules[which].size;

    fake_advance(h, 1000000000);
    for (uint64_t at = 0; at < 0x30; at += size) {
        if (fake_size_allowed(h, at, size) &&
            at + size <= h->info.regions[0].size) {
            fake_read(h, at, size);
        }
    }
    if (h->chr) {
        fake_take(h, SIZE_MAX);
        fake_type(h, "fuzz", 4);
    }
    if (which == 0) {
        fake_write(h, 0x1008, 4, 3);
        fake_write(h, 0x100c, 4, 2);
    }
}

/* What it says of itself now is a state that it takes */
static void take_back(FakeHost *h)
{
    g_autoptr(GByteArray) saved = fake_save(h);
    char *why = fake_load(h, saved->data, saved->len);

    PROMISE(!why);
    fake_settle(h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GByteArray) input = g_byte_array_new();
    g_autofree char *why = NULL;
    unsigned which;
    FakeHost *h;

    if (size < 2) {
        return 0;
    }
    which = data[1] % G_N_ELEMENTS(modules);
    h = start(which);
    if (data[0] & 1) {
        g_byte_array_append(input, data + 2, size - 2);
    } else {
        change(input, which, data + 2, size - 2);
    }
    why = fake_load(h, input->data, input->len);
    PROMISE(!why || *why);
    fake_settle(h);
    if (!why) {
        take_back(h);
    }
    use(h, which);
    take_back(h);
    fake_reset(h, 0, RIO_MODULE_RESET_SYSTEM);
    fake_close(h);
    return 0;
}
