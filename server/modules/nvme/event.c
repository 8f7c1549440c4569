/*
 * nvme module: asynchronous events
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * NVM Express 1.4, section 5.2 "Asynchronous Event Request command".
 *
 * The host parks a few requests; an event completes one.  Then no more
 * events of that type are told until the host has read the log that the
 * event names.
 */

#include "nvme.h"

/* Task.  Complete parked requests with events that are to be told */
static void nvme_events_tell(NvmeCtrl *n)
{
    unsigned life = n->life;
    unsigned type;

    for (type = 0; type < NVME_EVENT_TYPES && n->num_events; type++) {
        NvmeCmd *cmd;

        if (n->life != life) {
            break;              /* a state was loaded, which starts another */
        }
        if (!n->event_pending[type] || n->event_masked[type]) {
            continue;
        }
        n->event_pending[type] = false;
        n->event_masked[type] = true;
        cmd = n->events[--n->num_events];
        cmd->parked = false;
        cmd->result = n->event_result[type];
        nvme_complete(cmd, NVME_SC_SUCCESS);
    }
}

static void nvme_event_task(RioDevice *dev, void *s, void *arg)
{
    NvmeCtrl *n = s;

    (void)dev;
    if (n->life == GPOINTER_TO_UINT(arg)) {
        nvme_events_tell(n);
    }
    nvme_task_end(n);
}

static void nvme_event_start(NvmeCtrl *n)
{
    nvme_task_start(n, nvme_event_task, GUINT_TO_POINTER(n->life));
}

void nvme_event_park(NvmeCmd *cmd)
{
    cmd->parked = true;
    cmd->n->events[cmd->n->num_events++] = cmd;
}

void nvme_events_go(NvmeCtrl *n)
{
    if (n->num_events) {
        nvme_event_start(n);
    }
}

uint16_t nvme_event_request(NvmeCmd *cmd)
{
    NvmeCtrl *n = cmd->n;

    if (n->num_events == NVME_MAX_EVENTS) {
        return nvme_fail(NVME_SC_AER_LIMIT);
    }
    nvme_event_park(cmd);
    nvme_events_tell(n);
    return NVME_NO_COMPLETION;
}

void nvme_event(NvmeCtrl *n, unsigned type, unsigned info, unsigned log)
{
    if (n->event_pending[type] || n->event_masked[type]) {
        return;
    }
    n->event_pending[type] = true;
    n->event_result[type] = type | info << 8 | log << 16;
    if (n->num_events) {
        nvme_event_start(n);
    }
}

void nvme_event_clear(NvmeCtrl *n, unsigned type)
{
    n->event_masked[type] = false;
}

NvmeCmd *nvme_event_take(NvmeCtrl *n, unsigned cid)
{
    unsigned i;

    for (i = 0; i < n->num_events; i++) {
        NvmeCmd *cmd = n->events[i];

        if (nvme_get16(cmd->sqe + NVME_SQE_CID) == cid) {
            n->events[i] = n->events[--n->num_events];
            cmd->parked = false;
            return cmd;
        }
    }
    return NULL;
}

void nvme_events_reset(NvmeCtrl *n)
{
    while (n->num_events) {
        nvme_cmd_free(n->events[--n->num_events]);
    }
    memset(n->event_pending, 0, sizeof(n->event_pending));
    memset(n->event_masked, 0, sizeof(n->event_masked));
}
