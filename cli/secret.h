/* secret.h: makes client secrets and their argon2id hashes. cmd_clients.c calls it. */
#ifndef CTMS_CLI_SECRET_H
#define CTMS_CLI_SECRET_H

#include <stdbool.h>

/* "secret_" and 32 random bytes in base64url, with the final zero. */
#define SECRET_SIZE 51
/* An encoded argon2id string with our parameters fits, with the final zero. */
#define SECRET_HASH_SIZE 128

/*
 * Fills in a new secret from the kernel's generator, and its hash. Returns false, with nothing
 * usable in them, when there is no randomness or no memory. The caller wipes the secret with
 * explicit_bzero().
 */
bool secret_make(char secret[SECRET_SIZE], char hash[SECRET_HASH_SIZE]);

#endif
