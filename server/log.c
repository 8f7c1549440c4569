/*
 * remote-io-server: lines for the operator
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "internal.h"

#define LINES_A_SECOND 10

void riod_log(const char *fmt, ...)
{
    g_autofree char *text = NULL;
    g_autofree char *line = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);

    /* One write, so that lines of several threads do not mix */
    line = g_strdup_printf("%s: %s\n", g_get_prgname(), text);
    fputs(line, stderr);
}

void riod_set_reason(RioMessage *m, uint8_t status, const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    const char *end;

    g_utf8_validate(valid, MIN(strlen(valid), RIO_MAX_STRING), &end);
    memcpy(m->reason, valid, end - valid);
    m->reason[end - valid] = '\0';
    m->status = status;
}

bool riod_rate_allows(RiodRate *rate, const char *whose)
{
    int64_t second = qemu_clock_get_ms(QEMU_CLOCK_REALTIME) / 1000;

    if (second != rate->second) {
        if (rate->muted) {
            riod_log("%s: %u more lines like this were not printed", whose,
                     rate->muted);
        }
        rate->second = second;
        rate->lines = 0;
        rate->muted = 0;
    }
    if (rate->lines == LINES_A_SECOND) {
        rate->muted++;
        return false;
    }
    rate->lines++;
    return true;
}
