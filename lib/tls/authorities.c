/* SPDX-License-Identifier: ISC */
/*
 * Whose certificates are trusted. All are read when the context is made, with the rights of the
 * start: later, from inside the jail or a chroot, neither the directories nor what their links
 * point to need be within reach, and no handshake reads files.
 */
#include <dirent.h>
#include <errno.h>

#include "lib/base/die.h"
#include "lib/tls/private.h"

/* "4b718d9b.0", as openssl rehash names them. */
static bool is_hash_name(const char *name)
{
	size_t n = strspn(name, "0123456789abcdef");

	return n == 8 && name[n] == '.' && name[n + 1] != 0
	       && strspn(name + n + 1, "0123456789") == strlen(name + n + 1);
}

/* A file that is no certificate does not keep the others from being used. */
static int use_directory(SSL_CTX *ssl, const char *path, struct buf *why)
{
	DIR *names = opendir(path);
	const struct dirent *e;

	if (names == NULL) {
		buf_addf(why, "CA directory %s: %s", path, error_text(errno));
		return -ENOENT;
	}
	while ((e = readdir(names)) != NULL) {
		AUTO(buf) file = BUF(8192);

		if (!is_hash_name(e->d_name))
			continue;
		buf_addf(&file, "%s/%s", path, e->d_name);
		SSL_CTX_load_verify_file(ssl, buf_text(&file));
		ERR_clear_error();
	}
	closedir(names);
	return 0;
}

static int no_authorities(struct buf *why, const char *what, const char *which)
{
	tls_failed(why, what, which);
	return -ENOENT;
}

static int use_default(SSL_CTX *ssl, struct buf *why)
{
	AUTO(buf) nothing = BUF_WORDS;

	if (SSL_CTX_set_default_verify_file(ssl) != 1)
		return no_authorities(why, "the system's CAs", "");
	use_directory(ssl, X509_get_default_cert_dir(), &nothing);	/* some systems have only the file */
	return 0;
}

int tls_use_authorities(const struct tls_config *conf, SSL_CTX *ssl, struct buf *why)
{
	bool file = tls_is_given(conf->ca_file);
	int r = 0;

	if (file && SSL_CTX_load_verify_file(ssl, conf->ca_file) != 1)
		return no_authorities(why, "CA file", conf->ca_file);
	if (tls_is_given(conf->ca_path))
		r = use_directory(ssl, conf->ca_path, why);
	if (r >= 0 && conf->default_ca)
		r = use_default(ssl, why);
	if (r >= 0 && conf->server && conf->ask_cert && file)
		SSL_CTX_set_client_CA_list(ssl, SSL_load_client_CA_file(conf->ca_file));
	return r;
}
