/*
 * The modules that are part of remote-io-server
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef SERVER_MODULES_BUILTIN_H
#define SERVER_MODULES_BUILTIN_H

#include "remote-io-module.h"

/**
 * riod_builtin_modules: one function per module, sorted by name, ends with
 *                       NULL.  Each returns the module's table and may be
 *                       called any number of times, from any thread that
 *                       started after the first call.
 */
typedef const RioModule *(*RiodModuleInit)(void);
extern const RiodModuleInit riod_builtin_modules[];

#endif /* SERVER_MODULES_BUILTIN_H */
