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
    unsigned type;

    for (type = 0; type < NVME_EVENT_TYPES && n->num_events; type++) {
        NvmeCmd *cmd;

        if (!n->event_pending[type] || n->event_masked[type]) {
            continue;
        }
        n->event_pending[type] = false;
        n->event_masked[type] = true;
        cmd = n->events[--n->num_events];
        cmd->result = n->event_result[type];
        nvme_complete(cmd, NVME_SC_SUCCESS);
    }
}

static void nvme_event_task(RioDevice *dev, void *s, void *arg)
{
    (void)dev;
    (void)arg;
    nvme_events_tell(s);
    nvme_task_end(s);
}

uint16_t nvme_event_request(NvmeCmd *cmd)
{
    NvmeCtrl *n = cmd->n;

    if (n->num_events == NVME_MAX_EVENTS) {
        return nvme_fail(NVME_SC_AER_LIMIT);
    }
    n->events[n->num_events++] = cmd;
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
        nvme_task_start(n, nvme_event_task, NULL);
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
