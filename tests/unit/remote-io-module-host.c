/*
 * A host for one remote-io module, for unit tests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <string.h>

#include "remote-io-module-memory.h"

struct RioTimer {
    FakeHost *host;
    void (*fire)(RioDevice *dev, void *s);
    bool armed;
    int64_t at;
};

struct RioChar {
    FakeHost *host;
    const RioCharOps *ops;
    bool room_changed;
};

static FakeHost *fake_of(RioDevice *dev)
{
    FakeHost *h = (FakeHost *)dev;

    g_assert_true(h->inside);
    return h;
}

/* Callbacks run one at a time; what they set off runs when they are done */

static void fake_enter(FakeHost *h)
{
    g_assert_false(h->inside);
    h->inside = true;
}

static void fake_deliver(FakeHost *h)
{
    RioChar *chr = h->chr;

    while (h->coming->len) {
        size_t room;

        h->inside = true;
        room = MIN(chr->ops->room(&h->dev, h->state), h->coming->len);
        if (room) {
            chr->ops->receive(&h->dev, h->state, h->coming->data, room);
            g_byte_array_remove_range(h->coming, 0, room);
        }
        h->inside = false;
        if (!room) {
            return;
        }
    }
}

static void fake_leave(FakeHost *h)
{
    h->inside = false;
    while (h->chr && h->chr->room_changed) {
        h->chr->room_changed = false;
        fake_deliver(h);
    }
    fake_memory_run(h);
}

/* Services */

static void G_GNUC_PRINTF(2, 0)
fake_fail(RioDevice *dev, const char *fmt, va_list ap)
{
    FakeHost *h = fake_of(dev);

    g_assert_cmpuint(h->failure->len, ==, 0);   /* said once */
    g_string_append_vprintf(h->failure, fmt, ap);
}

static void G_GNUC_PRINTF(3, 0)
fake_log(RioDevice *dev, RioLogLevel level, const char *fmt,
         va_list ap)
{
    FakeHost *h = fake_of(dev);
    char *text = g_strdup_vprintf(fmt, ap);

    g_assert_cmpuint(strlen(text), >, 0);
    g_assert_null(strchr(text, '\n'));
    if (!h->quiet) {
        g_test_message("log: %s", text);
    }
    if (level == RIO_LOG_GUEST) {
        h->guest_errors++;
    } else {
        h->other_logs++;
    }
    g_free(text);
}

static const char *fake_param(RioDevice *dev, const char *name,
                              RioParamType type)
{
    FakeHost *h = fake_of(dev);
    const RioParam *p;
    const char *value;

    for (p = h->module->params; p && p->name; p++) {
        if (g_str_equal(p->name, name)) {
            g_assert_cmpint(p->type, ==, type);
            value = g_hash_table_lookup(h->params, name);
            return value ? value : p->fallback;
        }
    }
    g_error("parameter '%s' is not declared", name);
    return NULL;
}

static const char *fake_param_string(RioDevice *dev, const char *name)
{
    return fake_param(dev, name, RIO_PARAM_STRING);
}

static uint64_t fake_param_uint(RioDevice *dev, const char *name)
{
    const char *value = fake_param(dev, name, RIO_PARAM_UINT);

    return value ? g_ascii_strtoull(value, NULL, 0) : 0;
}

static bool fake_param_bool(RioDevice *dev, const char *name)
{
    const char *value = fake_param(dev, name, RIO_PARAM_BOOL);

    return value && g_str_equal(value, "on");
}

static void fake_irq_set(RioDevice *dev, unsigned client, unsigned line,
                         bool level)
{
    FakeHost *h = fake_of(dev);
    unsigned i;

    g_assert_cmpuint(line, <, h->info.lines);
    for (i = 0; i < FAKE_CLIENTS; i++) {
        if (client == RIO_ALL_CLIENTS || client == i) {
            h->line_changes[i] += h->line[i] != level;
            h->line[i] = level;
        }
    }
}

static void fake_irq_message(RioDevice *dev, unsigned client,
                             unsigned vector)
{
    FakeHost *h = fake_of(dev);
    unsigned i;

    g_assert_cmpuint(vector, <, MAX(h->info.msi_vectors,
                                    h->info.msix_vectors));
    for (i = 0; i < FAKE_CLIENTS; i++) {
        if (client == RIO_ALL_CLIENTS || client == i) {
            h->messages[i][vector]++;
        }
    }
}

static int64_t fake_clock_ns(RioDevice *dev)
{
    return fake_of(dev)->now;
}

static RioTimer *fake_timer_new(RioDevice *dev,
                                void (*fire)(RioDevice *dev, void *s))
{
    FakeHost *h = fake_of(dev);
    RioTimer *timer = g_new0(RioTimer, 1);

    timer->host = h;
    timer->fire = fire;
    h->timers = g_slist_append(h->timers, timer);
    return timer;
}

static void fake_timer_set(RioTimer *timer, int64_t at_ns)
{
    g_assert_true(timer->host->inside);
    timer->armed = true;
    timer->at = at_ns;
}

static void fake_timer_cancel(RioTimer *timer)
{
    g_assert_true(timer->host->inside);
    timer->armed = false;
}

static RioChar *fake_char_open(RioDevice *dev, const char *chardev,
                               const RioCharOps *ops)
{
    FakeHost *h = fake_of(dev);

    g_assert_null(h->chr);
    g_assert_nonnull(ops->room);
    g_assert_nonnull(ops->receive);
    if (!chardev || !g_str_equal(chardev, "c0")) {
        rio_fail(dev, "chardev '%s': unknown", chardev ? chardev : "");
        return NULL;
    }
    h->chr = g_new0(RioChar, 1);
    h->chr->host = h;
    h->chr->ops = ops;
    return h->chr;
}

static size_t fake_char_write(RioChar *chr, const uint8_t *buf, size_t len)
{
    FakeHost *h = chr->host;
    size_t n = MIN(len, h->take);

    g_assert_true(h->inside);
    g_string_append_len(h->sent, (const char *)buf, n);
    h->writes++;
    if (h->take != SIZE_MAX) {
        h->take -= n;
    }
    h->stalled = n < len;
    return n;
}

static void fake_char_room_changed(RioChar *chr)
{
    g_assert_true(chr->host->inside);
    chr->room_changed = true;
}

static void fake_char_set_line(RioChar *chr, const RioCharLine *line)
{
    g_assert_true(chr->host->inside);
    chr->host->set_line = *line;
    chr->host->line_sets++;
}

static void fake_char_set_modem(RioChar *chr, unsigned outputs)
{
    g_assert_true(chr->host->inside);
    g_assert_cmpuint(outputs & ~(RIO_CHAR_DTR | RIO_CHAR_RTS), ==, 0);
    chr->host->modem_out = outputs;
    chr->host->modem_sets++;
}

static bool fake_char_get_modem(RioChar *chr, unsigned *lines)
{
    FakeHost *h = chr->host;

    g_assert_true(h->inside);
    *lines = h->has_modem ? h->modem_in
                          : RIO_CHAR_CTS | RIO_CHAR_DSR | RIO_CHAR_DCD;
    return h->has_modem;
}

static void fake_char_break(RioChar *chr, bool on)
{
    g_assert_true(chr->host->inside);
    chr->host->brk_changes += chr->host->brk != on;
    chr->host->brk = on;
}

static const RioHost fake_services = {
    .struct_size = sizeof(RioHost),
    .api_version = RIO_MODULE_API_VERSION,
    .fail = fake_fail,
    .log = fake_log,
    .param_string = fake_param_string,
    .param_uint = fake_param_uint,
    .param_bool = fake_param_bool,
    .irq_set = fake_irq_set,
    .irq_message = fake_irq_message,
    .clock_ns = fake_clock_ns,
    .timer_new = fake_timer_new,
    .timer_set = fake_timer_set,
    .timer_cancel = fake_timer_cancel,
    .char_open = fake_char_open,
    .char_write = fake_char_write,
    .char_room_changed = fake_char_room_changed,
    .char_set_line = fake_char_set_line,
    .char_set_modem = fake_char_set_modem,
    .char_get_modem = fake_char_get_modem,
    .char_break = fake_char_break,
};

/* Life */

/* Fields of one bus are not set on the other */
static void fake_check_bus(const RioModuleInfo *info)
{
    bool pci = info->bus == RIO_MODULE_PCI;

    g_assert_true(pci || info->bus == RIO_MODULE_ISA);
    if (pci) {
        g_assert_cmpuint(info->isa_irq, ==, 0);
        g_assert_null(info->acpi_hid);
        g_assert_cmphex(info->class_code >> 24, ==, 0);
    } else {
        g_assert_cmphex(info->vendor_id | info->device_id, ==, 0);
        g_assert_cmphex(info->subsystem_vendor_id | info->subsystem_id, ==, 0);
        g_assert_cmphex(info->class_code | info->revision, ==, 0);
        g_assert_cmpuint(info->msi_vectors | info->msix_vectors, ==, 0);
        g_assert_cmpuint(info->isa_irq, <, 16);
    }
    if (!info->msix_vectors) {
        g_assert_cmphex(info->msix_table_bar | info->msix_pba_bar, ==, 0);
        g_assert_cmphex(info->msix_table_offset | info->msix_pba_offset, ==,
                        0);
    }
}

/* What the comments of RioModuleInfo ask for */
static void fake_check_info(const RioModuleInfo *info)
{
    uint64_t end[8] = { 0 };
    uint64_t size[8] = { 0 };
    unsigned i;

    fake_check_bus(info);
    g_assert_cmpuint(info->num_regions, >=, 1);
    for (i = 0; i < info->num_regions; i++) {
        const RioModuleRegion *r = &info->regions[i];
        bool pci = info->bus == RIO_MODULE_PCI;

        g_assert_cmpuint(r->index, <, pci ? 6 : 8);
        g_assert_true(!pci || r->base == 0);
        g_assert_cmpuint(size[r->index], ==, 0);
        g_assert_cmpuint(r->size & (r->size - 1), ==, 0);
        g_assert_cmpuint(r->size, >=,
                         !pci ? 1 : r->space == RIO_MODULE_PIO ? 4 : 16);
        size[r->index] = r->size;
    }
    g_assert_cmpuint(info->num_ranges, <=, 64);
    for (i = 0; i < info->num_ranges; i++) {
        const RioModuleRange *r = &info->ranges[i];

        /* In order, apart, and inside */
        g_assert_cmpuint(r->offset, >=, end[r->region]);
        end[r->region] = r->offset + r->length;
        g_assert_cmpuint(end[r->region], <=, size[r->region]);
        g_assert_cmpuint(r->sizes, <=, 15);
    }
}

static GHashTable *fake_parse(const char *params)
{
    GHashTable *table = g_hash_table_new_full(g_str_hash, g_str_equal,
                                              g_free, g_free);
    char **list = g_strsplit(params, ",", -1);
    unsigned i;

    for (i = 0; list[i] && *list[i]; i++) {
        char **pair = g_strsplit(list[i], "=", 2);

        g_hash_table_insert(table, g_strdup(pair[0]), g_strdup(pair[1]));
        g_strfreev(pair);
    }
    g_strfreev(list);
    return table;
}

FakeHost *fake_open(const RioModule *module, const char *params)
{
    FakeHost *h = g_new0(FakeHost, 1);
    int ret = 0;

    g_assert_cmpuint(module->struct_size, ==, sizeof(RioModule));
    g_assert_cmpuint(module->api_version, ==, RIO_MODULE_API_VERSION);
    h->services = fake_services;
    fake_memory_init(h);
    h->dev.host = &h->services;
    h->dev.id = "m0";
    h->module = module;
    h->state = g_malloc0(module->state_size);
    h->params = fake_parse(params);
    h->failure = g_string_new(NULL);
    h->sent = g_string_new(NULL);
    h->take = SIZE_MAX;
    h->coming = g_byte_array_new();
    h->now = 1000 * 1000;

    fake_enter(h);
    if (module->open) {
        ret = module->open(&h->dev, h->state);
        g_assert_cmpint(ret, ==, h->failure->len ? -1 : 0);
    }
    if (ret == 0) {
        module->describe(&h->dev, h->state, &h->info);
        fake_check_info(&h->info);
    } else {
        g_free(h->state);
        h->state = NULL;
    }
    fake_leave(h);
    return h;
}

FakeHost *fake_start(const RioModule *module, const char *params)
{
    FakeHost *h = fake_open(module, params);

    g_assert_cmpstr(h->failure->str, ==, "");
    fake_attach(h, 0);
    return h;
}

void fake_close(FakeHost *h)
{
    fake_memory_drain(h);
    if (h->state && h->module->close) {
        fake_enter(h);
        h->module->close(&h->dev, h->state);
        h->inside = false;
    }
    g_slist_free_full(h->timers, g_free);
    g_free(h->chr);
    g_string_free(h->failure, TRUE);
    g_string_free(h->sent, TRUE);
    g_byte_array_free(h->coming, TRUE);
    g_hash_table_destroy(h->params);
    fake_memory_free(h);
    g_free(h->state);
    g_free(h);
}

void fake_attach(FakeHost *h, unsigned client)
{
    g_assert_cmpuint(client, <, MAX(h->module->max_clients, 1));
    g_assert_cmpuint(client, <, FAKE_CLIENTS);
    h->attached[client] = h;
    h->line[client] = false;
    fake_enter(h);
    if (h->module->attach) {
        h->module->attach(&h->dev, h->state, client);
    }
    fake_leave(h);
}

void fake_detach(FakeHost *h, unsigned client)
{
    fake_enter(h);
    if (h->module->detach) {
        h->module->detach(&h->dev, h->state, client);
    }
    h->attached[client] = NULL;
    fake_leave(h);
}

void fake_settle(FakeHost *h)
{
    fake_leave(h);
}

void fake_reset(FakeHost *h, unsigned client, RioModuleReset kind)
{
    fake_enter(h);
    if (h->module->reset) {
        h->module->reset(&h->dev, h->state, client, kind);
    }
    fake_leave(h);
}

/* Accesses */

static const RioModuleRange *fake_range(FakeHost *h, uint64_t offset)
{
    unsigned i;

    for (i = 0; i < h->info.num_ranges; i++) {
        const RioModuleRange *r = &h->info.ranges[i];

        if (r->region == 0 && offset >= r->offset &&
            offset - r->offset < r->length) {
            return r;
        }
    }
    return NULL;
}

unsigned fake_attrs(FakeHost *h, uint64_t offset)
{
    const RioModuleRange *r = fake_range(h, offset);

    return r ? r->attrs : 0;
}

bool fake_size_allowed(FakeHost *h, uint64_t offset, unsigned size)
{
    const RioModuleRange *r = fake_range(h, offset);

    return !r || r->sizes == 0 || (r->sizes & size);
}

static void fake_check_access(FakeHost *h, uint64_t offset, unsigned size)
{
    g_assert_true(size == 1 || size == 2 || size == 4 || size == 8);
    g_assert_cmpuint(offset + size, <=, h->info.regions[0].size);
    g_assert_true(fake_size_allowed(h, offset, size));
}

uint64_t fake_read_of(FakeHost *h, unsigned client, uint64_t offset,
                      unsigned size)
{
    uint64_t value;

    fake_check_access(h, offset, size);
    fake_enter(h);
    value = h->module->read(&h->dev, h->state, client, 0, offset, size);
    fake_leave(h);
    return size == 8 ? value : value & ((1ull << 8 * size) - 1);
}

void fake_write_of(FakeHost *h, unsigned client, uint64_t offset,
                   unsigned size, uint64_t value)
{
    fake_check_access(h, offset, size);
    g_assert_true(size == 8 || value >> 8 * size == 0);
    fake_enter(h);
    h->module->write(&h->dev, h->state, client, 0, offset, size, value);
    fake_leave(h);
}

uint64_t fake_read(FakeHost *h, uint64_t offset, unsigned size)
{
    return fake_read_of(h, 0, offset, size);
}

void fake_write(FakeHost *h, uint64_t offset, unsigned size, uint64_t value)
{
    fake_write_of(h, 0, offset, size, value);
}

/* Time */

static RioTimer *fake_first_timer(FakeHost *h)
{
    RioTimer *first = NULL;
    GSList *l;

    for (l = h->timers; l; l = l->next) {
        RioTimer *timer = l->data;

        if (timer->armed && (!first || timer->at < first->at)) {
            first = timer;
        }
    }
    return first;
}

int64_t fake_next_timer(FakeHost *h)
{
    RioTimer *timer = fake_first_timer(h);

    return timer ? MAX(timer->at - h->now, 0) : -1;
}

void fake_advance(FakeHost *h, int64_t ns)
{
    int64_t end = h->now + ns;
    RioTimer *timer;

    while ((timer = fake_first_timer(h)) && timer->at <= end) {
        h->now = MAX(h->now, timer->at);
        timer->armed = false;
        fake_enter(h);
        timer->fire(&h->dev, h->state);
        fake_leave(h);
    }
    h->now = end;
}

/* The chardev's other end */

void fake_type(FakeHost *h, const void *bytes, size_t len)
{
    bool idle = h->coming->len == 0;

    g_byte_array_append(h->coming, bytes, len);
    if (idle) {
        fake_deliver(h);
        fake_leave(h);
    }
}

void fake_event(FakeHost *h, RioCharEvent event)
{
    if (h->chr->ops->event) {
        fake_enter(h);
        h->chr->ops->event(&h->dev, h->state, event);
        fake_leave(h);
    }
}

void fake_take(FakeHost *h, size_t room)
{
    h->take = room;
    if (h->stalled && room && h->chr->ops->writable) {
        h->stalled = false;
        fake_enter(h);
        h->chr->ops->writable(&h->dev, h->state);
        fake_leave(h);
    }
}
