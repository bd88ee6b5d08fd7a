/*
 * db_url.h: whether a text names a database, told without repeating any of it.
 *
 * libpq's own messages quote what they cannot read, and that may be a part of the password. So what
 * comes from people goes through here before libpq sees it.
 */
#ifndef CTMS_COMMON_DB_URL_H
#define CTMS_COMMON_DB_URL_H

/* NULL if libpq can read it as a URI or keywords and it is whole; otherwise what is wrong, a text
 * that goes on after "CTMS_DB_URL" and holds nothing of the URL. */
const char *db_url_problem(const char *url);

/*
 * A URL of its own for each host of one without a problem: keywords, with all its other parts.
 * Writes the first ones, up to max; the caller frees each with free(). Returns how many hosts there
 * are; one when none is named.
 */
int db_url_split(const char *url, char **urls, int max);

#endif
