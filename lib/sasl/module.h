/* SPDX-License-Identifier: ISC */
/* Inside lib/sasl only: the module with libgsasl, once sasl_login_open() has loaded it. */
#ifndef ROAD_SASL_MODULE_H
#define ROAD_SASL_MODULE_H

#include "lib/sasl/modules/driver.h"

const struct sasl_driver *sasl_module(void);	/* NULL: there is none */

#endif
