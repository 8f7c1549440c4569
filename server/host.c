/*
 * remote-io-server: the services that modules call
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A module that passes nonsense is told so in the log and nothing happens;
 * it shares the process with others.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/log.h"
#include "qemu/timer.h"
#include "filter.h"
#include "irqvm.h"

static void G_GNUC_PRINTF(2, 0)
host_fail(RioDevice *dev, const char *fmt, va_list ap)
{
    RiodInstance *inst = riod_instance(dev);
    g_autofree char *text = g_strdup_vprintf(fmt, ap);

    if (!inst->open_error) {
        error_setg(&inst->open_error, "%s", text);
    }
}

static void G_GNUC_PRINTF(3, 0)
host_log(RioDevice *dev, RioLogLevel level, const char *fmt, va_list ap)
{
    static const char *const words[] = {
        [RIO_LOG_ERROR] = "error: ",
        [RIO_LOG_WARN] = "warning: ",
        [RIO_LOG_INFO] = "",
        [RIO_LOG_GUEST] = "guest error: ",
    };
    RiodInstance *inst = riod_instance(dev);
    g_autofree char *text = NULL;

    if (level == RIO_LOG_GUEST && (!qemu_loglevel_mask(LOG_GUEST_ERROR) ||
                                   !riod_rate_allows(&inst->rate, inst->id))) {
        return;
    }
    text = g_strdup_vprintf(fmt, ap);
    riod_log("%s: %s%s", inst->id,
             (unsigned)level < ARRAY_SIZE(words) ? words[level] : "", text);
}

void riod_complain(RiodInstance *inst, const char *what, unsigned n)
{
    if (riod_rate_allows(&inst->rate, inst->id)) {
        riod_log("%s: error: the module used %s %u, which it does not have",
                 inst->id, what, n);
    }
}

static const char *host_param_string(RioDevice *dev, const char *name)
{
    return qdict_get_try_str(riod_instance(dev)->params, name);
}

static uint64_t host_param_uint(RioDevice *dev, const char *name)
{
    const char *text = host_param_string(dev, name);
    uint64_t value = 0;

    return text && riod_params_uint(text, &value) ? value : 0;
}

static bool host_param_bool(RioDevice *dev, const char *name)
{
    const char *text = host_param_string(dev, name);
    bool value = false;

    return text && riod_params_bool(text, &value) && value;
}

typedef void Raise(RiodSession *s, unsigned number, bool level);

static void for_clients(RiodInstance *inst, unsigned client, Raise *raise,
                        unsigned number, bool level)
{
    if (client != RIO_ALL_CLIENTS && client >= inst->max_clients) {
        riod_complain(inst, "client", client);
        return;
    }
    for (unsigned i = 0; inst->clients && i < inst->max_clients; i++) {
        if (inst->clients[i] && (client == RIO_ALL_CLIENTS || client == i)) {
            raise(inst->clients[i], number, level);
        }
    }
}

static bool is_filtered(const RiodSession *s)
{
    return unlikely(riod_filters_exist(s->inst) || s->late);
}

static void raise_level(RiodSession *s, unsigned line, bool level)
{
    if (is_filtered(s)) {
        riod_filter_irq_level(s, line, level);
    } else {
        riod_session_irq_level(s, line, level);
    }
}

static void raise_message(RiodSession *s, unsigned vector, bool level)
{
    s = riod_irq_vm_find(s, vector);
    if (s && is_filtered(s)) {
        riod_filter_irq_message(s, vector);
    } else if (s) {
        riod_session_irq_message(s, vector);
    }
}

static void host_irq_set(RioDevice *dev, unsigned client, unsigned line,
                         bool level)
{
    RiodInstance *inst = riod_instance(dev);

    if (line >= inst->desc.lines) {
        riod_complain(inst, "interrupt line", line);
        return;
    }
    for_clients(inst, client, raise_level, line, level);
}

static void host_irq_message(RioDevice *dev, unsigned client, unsigned vector)
{
    RiodInstance *inst = riod_instance(dev);

    if (vector >= riod_instance_vectors(inst)) {
        riod_complain(inst, "interrupt vector", vector);
        return;
    }
    for_clients(inst, client, raise_message, vector, true);
}

static int64_t host_clock_ns(RioDevice *dev)
{
    return qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
}

const RioHost riod_host = {
    .struct_size = sizeof(RioHost),
    .api_version = RIO_MODULE_API_VERSION,
    .fail = host_fail,
    .log = host_log,
    .param_string = host_param_string,
    .param_uint = host_param_uint,
    .param_bool = host_param_bool,
    .irq_set = host_irq_set,
    .irq_message = host_irq_message,
    .clock_ns = host_clock_ns,
    .timer_new = riod_timer_new,
    .timer_set = riod_timer_set,
    .timer_cancel = riod_timer_cancel,
    .char_open = riod_char_open,
    .char_write = riod_char_write,
    .char_room_changed = riod_char_room_changed,
    .char_set_line = riod_char_set_line,
    .char_set_modem = riod_char_set_modem,
    .char_get_modem = riod_char_get_modem,
    .char_break = riod_char_break,
    .task_start = riod_task_start,
    .task_sleep = riod_task_sleep,
    .dma_read = riod_dma_read,
    .dma_write = riod_dma_write,
    .recipe_set = riod_recipe_set,
    .block_open = riod_block_open,
    .block_info = riod_block_info,
    .block_read = riod_block_read,
    .block_write = riod_block_write,
    .block_zero = riod_block_zero,
    .block_discard = riod_block_discard,
    .block_flush = riod_block_flush,
};
