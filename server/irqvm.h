/*
 * remote-io-server internals: interrupts for another virtual machine
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A name is that of a machine on the client platform for whose machine the
 * vector was raised, or CLIENT/VM for one of any platform.  Who is named but
 * not attached gets nothing; that is told in the log.
 */

#ifndef SERVER_IRQVM_H
#define SERVER_IRQVM_H

#include "internal.h"

/* Main loop, before clients come: what interrupt-vm= says */
bool riod_irq_vm_parse(RiodInstance *inst, const char *text, Error **errp);

/* Main loop.  @vector: -1 = all; @vm: NULL = as the module says */
bool riod_irq_vm_set(RiodInstance *inst, int vector, const char *vm,
                     Error **errp);

/* Home: whose session gets @vector that is raised for @asker; or NULL */
RiodSession *riod_irq_vm_find(RiodSession *asker, unsigned vector);

/* When nobody uses the instance any more; NULL is fine inside */
void riod_irq_vm_free(RiodInstance *inst);

#endif /* SERVER_IRQVM_H */
