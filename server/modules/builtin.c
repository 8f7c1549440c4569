/*
 * The modules that are part of remote-io-server
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A new module is declared and listed below, and named in the build file
 * beside this one.
 */

#include "modules/builtin.h"

const RioModule *rio_module_counter_init(void);
const RioModule *rio_module_demo_init(void);
const RioModule *rio_module_doorbell_init(void);
const RioModule *rio_module_hwrng_init(void);
const RioModule *rio_module_null_init(void);
const RioModule *rio_module_nvme_init(void);
const RioModule *rio_module_uart16550_init(void);

const RiodModuleInit riod_builtin_modules[] = {
    rio_module_counter_init,
    rio_module_demo_init,
    rio_module_doorbell_init,
    rio_module_hwrng_init,
    rio_module_null_init,
    rio_module_nvme_init,
    rio_module_uart16550_init,
    NULL
};
