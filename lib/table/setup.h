/* SPDX-License-Identifier: ISC */
/* What was set once for this process's tables (see the end of table.h), for the types that need it. */
#ifndef ROAD_TABLE_SETUP_H
#define ROAD_TABLE_SETUP_H

#include "lib/table/table.h"

const char *table_service_directory(void);
struct conf *table_main(void);			/* NULL: not set */
const char *table_module_directory(void);
const char *table_meta_directory(void);
table_account *table_accounts(bool group);	/* NULL: not set */
unsigned table_flags_always(void);		/* those of table_insist() */

#endif
